/**
 * Matrix-free solve of the full system (M + λI) δθ = g by conjugate gradients, M known by its products with vectors.
 *
 *   M v = (1/N) Jᵀ (H_out (J v))             Hessian-free optimization [Martens10; Johnson17 §6 and eq. 43, §C]
 *
 * a Jacobian-vector product, the small output metric of each sample, a vector-Jacobian product: three passes over the
 * network, and no score matrix, whatever the number of outputs is. The batch and the parameters of the refresh are kept, so
 * that M stays what it was between refreshes.
 *
 * | symbol   | slot                      | shape               |
 * | -------- | ------------------------- | ------------------- |
 * | x, θ     | `inputs`, `parameter.l.…` | (N, …), the layer's |
 * | g        | `gradient`                | (P)                 |
 * | δθ       | `solution`                | (P)                 |
 * | diag F   | `diagonal`                | (P)                 |
 *
 * Differs from the paper: the preconditioner (diag F + λ)^¾ is by the exact Fisher matrix, not by the squared gradients
 * of single samples.
 */
import { flattenVector, type LayerVector, type Scores, splitVector, squaredScores } from "../fisher/index.ts";
import { concatenate, jvp, multiply, type SymbolicTensor, vjp } from "../graph/index.ts";
import type { SlotArrays, SlotSymbols } from "./block.ts";
import { type ConjugateGradientOptions, iterativeBlock } from "./conjugate-gradient.ts";
import { type OutputMetric, outputMetricProduct } from "./output-metric.ts";
import type { Structure, TracedNetwork } from "./structure.ts";

export interface MatrixFreeOptions extends ConjugateGradientOptions {
  readonly preconditioner?: "diagonal" | "none";
}

/** The exponent of the diagonal preconditioner [Martens10 §4.7]. */
const PRECONDITIONER_EXPONENT = 0.75;

export function matrixFreeStructure(
  name: string,
  metric: OutputMetric,
  { preconditioner, ...solve }: MatrixFreeOptions,
): Structure {
  return {
    name,
    blocks(scores, { network }) {
      const { layers, samples } = scores;
      const preconditioned = preconditioner === "diagonal";
      const statistics = {
        inputs: network.inputs,
        ...keptParameters(scores, network),
        ...(preconditioned && { diagonal: fisherDiagonal(scores) }),
      };
      const diagonal = (slots: SlotArrays, damping: number) =>
        Float64Array.from(slots.diagonal, (value) => (value + damping) ** PRECONDITIONER_EXPONENT || 1);
      const operator = (vector: SymbolicTensor, slots: SlotSymbols) => {
        const parameters = layers.flatMap((layer, l) => parts(layer, slots, l));
        const named = new Map(parameters);
        const { outputs } = network.model.forward(slots.inputs, named);
        const nodes = parameters.map(([, node]) => node);
        const tangents = splitVector(layers, vector).flatMap(vectorParts);
        const [along] = jvp([outputs], nodes, tangents);
        const weighted = outputMetricProduct(metric, network, outputs, along);
        const product = vjp([outputs], [multiply(weighted, 1 / samples)], nodes);
        const results = new Map(parameters.map(([parameter], k) => [parameter, product[k]]));
        return concatenate(
          layers.map(({ weight, bias }) =>
            flattenVector({
              weight: results.get(weight)!,
              bias: bias === undefined ? undefined : results.get(bias),
            }),
          ),
        );
      };
      return [
        iterativeBlock(name, layers, solve, {
          statistics,
          operator,
          diagonal: preconditioned ? diagonal : undefined,
        }),
      ];
    },
  };
}

type LayerNames = Scores["layers"][number];

/** The layer's parameters among the slots, by full name. */
function parts({ weight, bias }: LayerNames, slots: SlotSymbols, l: number): [string, SymbolicTensor][] {
  const own: [string, SymbolicTensor][] = [[weight, slots[`parameter.${l}.weight`]]];
  if (bias !== undefined) own.push([bias, slots[`parameter.${l}.bias`]]);
  return own;
}

function keptParameters({ layers }: Scores, { parameters }: TracedNetwork): SlotSymbols {
  return Object.fromEntries(
    layers.flatMap(({ weight, bias }, l) => [
      [`parameter.${l}.weight`, parameters.get(weight)!],
      ...(bias === undefined ? [] : [[`parameter.${l}.bias`, parameters.get(bias)!]]),
    ]),
  );
}

function vectorParts({ weight, bias }: LayerVector): SymbolicTensor[] {
  return bias ? [weight, bias] : [weight];
}

/** diag F, (P). */
function fisherDiagonal({ layers, samples }: Scores): SymbolicTensor {
  return multiply(concatenate(layers.map((layer) => flattenVector(squaredScores(layer)))), 1 / samples);
}
