/** Structures know linear layers alone: image layers are handed to them in a linear form, and their directions turned back. */
import { UsageError } from "../errors.ts";
import {
  type ImageForm,
  type LayerScores,
  type LayerVector,
  type LinearForm,
  linearForm,
  type Scores,
  type TracedScores,
} from "../fisher/index.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import type { CurvatureBlock } from "./block.ts";
import { blockParameters } from "./partition.ts";

type Names = Pick<LayerScores, "layer" | "weight" | "bias">;

/** A batch's scores as those of linear layers, and the way back for what is made of them. */
export interface LinearScores {
  readonly scores: Scores;
  /** Vectors by parameter name, in the linear layers' shapes. */
  packed(vectors: ReadonlyMap<string, SymbolicTensor>): ReadonlyMap<string, SymbolicTensor>;
  /** Vectors of the linear layers in the shapes of the layers that they stand for, in the order of the layers. */
  unpacked(vectors: readonly LayerVector[]): LayerVector[];
  /** A block of linear layers as one of the layers that they stand for. */
  restored(block: CurvatureBlock): CurvatureBlock;
}

/** The scores of a model of dense layers. @throws UsageError naming `what` where there are others */
export function requireLinear(what: string, { layers, ...rest }: TracedScores): Scores {
  const own = layers.map((layer) => {
    if (layer.kind === "linear") return layer;
    throw new UsageError(`${what} takes dense layers only, and layer ${layer.layer} is a ${layer.kind}`);
  });
  return { ...rest, layers: own };
}

/** @param form how convolutions are written, all alike or by the layer's name */
export function linearScores(
  traced: TracedScores,
  form: ImageForm | ReadonlyMap<string, ImageForm>,
): LinearScores {
  const formOf = (layer: string) => (typeof form === "string" ? form : (form.get(layer) ?? "samples"));
  const forms = new Map<string, { readonly names: Names; readonly form: LinearForm }>();
  const layers = traced.layers.map((layer): LayerScores => {
    if (layer.kind === "linear") return layer;
    const { layer: name, weight, bias } = layer;
    const converted = linearForm(layer, formOf(name));
    forms.set(weight, { names: { layer: name, weight, bias }, form: converted });
    return converted.linear;
  });
  const scores = { ...traced, layers };
  const unpacked = (vectors: readonly LayerVector[]) =>
    vectors.map((vector, l) => forms.get(layers[l].weight)?.form.unpack(vector) ?? vector);
  if (forms.size === 0) return { scores, packed: (vectors) => vectors, unpacked, restored: (block) => block };

  return {
    scores,
    unpacked,
    packed(vectors) {
      const result = new Map(vectors);
      for (const [weight, { names, form: own }] of forms) {
        const bias = names.bias === undefined ? undefined : vectors.get(names.bias);
        const packed = own.pack({ weight: vectors.get(weight)!, bias });
        result.set(weight, packed.weight);
        if (names.bias !== undefined) {
          if (packed.bias) result.set(names.bias, packed.bias);
          else result.delete(names.bias);
        }
      }
      return result;
    },
    restored(block) {
      const own = block.layers.map(({ weight }) => forms.get(weight));
      if (own.every((entry) => entry === undefined)) return block;
      const pack = (vectors: readonly LayerVector[]) =>
        vectors.map((vector, l) => own[l]?.form.pack(vector) ?? vector);
      const unpack = (vectors: readonly LayerVector[]) =>
        vectors.map((vector, l) => own[l]?.form.unpack(vector) ?? vector);
      const layersOfBlock = block.layers.map((layer, l) => own[l]?.names ?? layer);
      const { fresh, iterative } = block;
      return {
        ...block,
        layers: layersOfBlock,
        report: { ...block.report, parameters: blockParameters(layersOfBlock) },
        factored: false,
        fresh: fresh && ((slots) => unpack(fresh(slots))),
        stale: (gradient, slots) => unpack(block.stale(pack(gradient), slots)),
        iterative: iterative && {
          ...iterative,
          flatten: (gradient) => iterative.flatten(pack(gradient)),
        },
      };
    },
  };
}
