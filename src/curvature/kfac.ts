/**
 * K-FAC: for every layer the Kronecker product of two small matrices.
 *
 *   F_l ≈ G ⊗ A,   δW̄ = (G + (√λ/π) I)⁻¹ g (A + π√λ I)⁻¹,   π = √((tr A / dim A) / (tr G / dim G))    [Martens15 §3–6.3]
 *
 * with moving averages A and G (`kronecker.ts`), inverted anew every `refreshEvery` steps. The two factored dampings multiply
 * to λ; π shares it between the factors by their size. The form `"eigen"` (`kfac-eigen.ts`) damps the product itself.
 *
 * On batches smaller than the layer the gradient is never formed: (G⁻¹δᵀ)(A⁻¹āᵀ)ᵀ/N has products with N columns in place of
 * O or F̄. As A⁻¹ is kept without the bias's column, which is added, no activation is copied.
 *
 * | symbol                          | slot            | shape  |
 * | ------------------------------- | --------------- | ------ |
 * | (A + π√λ I)⁻¹, the weights' columns | `weightInverse` | (F̄, F) |
 * | the bias's column               | `biasInverse`   | (F̄, 1) |
 * | (G + (√λ/π) I)⁻¹                | `outputInverse` | (O, O) |
 *
 * Differs from the paper: the block-diagonal form only, not the tri-diagonal one; statistics are taken from the whole
 * batch in every step, not from a part of it; factors are inverted at once where λ rises, not only every `refreshEvery` steps; weight
 * decay is added to the direction, the paper's ℓ₂ term to gradient and curvature; learning rate and momentum are options by default, and `stepRule: "quadratic-model"`
 * chooses both on every step as the paper does.
 */
import { requireOption } from "../errors.ts";
import { type LayerScores, type LayerVector, vectorMatrix } from "../fisher/index.ts";
import { add, matmul, multiply, reshape } from "../graph/index.ts";
import { bytesPerElement } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome, SlotArrays, SlotSpec, SlotSymbols } from "./block.ts";
import { inversionBytes, invertDamped } from "./factorize.ts";
import { kfacEigenBlock } from "./kfac-eigen.ts";
import {
  checkKronecker,
  checkMemory,
  factorAverages,
  factorAveraging,
  factorImages,
  factorOrders,
  factorRefusal,
  factorsAreCheaper,
  type KroneckerSettings,
  loadInputFactor,
  loadOutputFactor,
  outerDirection,
  traces,
} from "./kronecker.ts";
import { blockParameters } from "./partition.ts";
import { whenBoth } from "./ready.ts";
import type { Structure } from "./structure.ts";
import { Workspace } from "./workspace.ts";

/** `"inverse"`: each factor damped and inverted; `"eigen"`: G ⊗ A + λI itself, in the factors' eigenbasis. */
export type KfacForm = "inverse" | "eigen";

export interface KfacSettings extends KroneckerSettings {
  /** Whether π follows the factors' traces; 1 otherwise. Of the form `"inverse"`. */
  readonly piDamping: boolean;
  readonly form: KfacForm;
}

/** @throws UsageError when a setting is out of range */
export function kfacStructure(settings: KfacSettings): Structure {
  const { piDamping, form } = settings;
  checkKronecker(settings);
  requireOption(typeof piDamping === "boolean", "piDamping", piDamping, "true or false");
  requireOption(form === "inverse" || form === "eigen", "form", form, "inverse | eigen");
  const workspace = new Workspace();
  return {
    name: "kfac",
    averaging: factorAveraging(settings),
    images: factorImages(settings),
    blocks: ({ layers }, { memoryLimit }) =>
      layers.map((layer) =>
        form === "eigen"
          ? kfacEigenBlock(layer, workspace, memoryLimit)
          : kfacInverseBlock(layer, piDamping, workspace, memoryLimit),
      ),
  };
}

function kfacInverseBlock(
  layer: LayerScores,
  piDamping: boolean,
  workspace: Workspace,
  memoryLimit: number,
): CurvatureBlock {
  const orders = factorOrders(layer);
  const { dtype } = layer.deltas;
  const memoryBytes = 3 * bytesPerElement(dtype) * (orders.inputs ** 2 + orders.outputs ** 2);
  const bytes = [inversionBytes(orders.inputs), inversionBytes(orders.outputs)];
  checkMemory("kfac", layer, memoryBytes + Math.max(...bytes), memoryLimit);

  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "kfac",
      solver: "inverse of both Kronecker factors",
      dimension: Math.max(orders.inputs, orders.outputs),
      memoryBytes,
    },
    borrowed: { workspace, bytes },
    statistics: {},
    averages: factorAverages(layer),
    refreshed: inverseSlots(layer),
    refusal: (next) => factorRefusal(next, layer),
    refresh(slots, { damping, averages: { next } }) {
      const failure = factorRefusal(next, layer);
      if (failure !== undefined) return { damping, retries: 0, failure };
      const pi = piDamping ? balance(next, layer) : 1;
      const root = Math.sqrt(damping);
      const input = invertDamped(workspace, {
        ...{ order: orders.inputs, damping: pi * root },
        load: (matrix) => loadInputFactor(matrix, next, layer),
        use: (inverse) => splitColumns(inverse, layer, slots),
      });
      const output = invertDamped(workspace, {
        ...{ order: orders.outputs, damping: root / pi },
        load: (matrix) => loadOutputFactor(matrix, next),
        use: (inverse) => slots.outputInverse.set(inverse),
      });
      return whenBoth(input, output, (a, g) => together(a, g, damping));
    },
    factored: factorsAreCheaper(layer),
    stale: ([gradient], slots, factors) =>
      factors && factorsAreCheaper(factors[0])
        ? [throughFactors(factors[0], slots)]
        : [throughGradient(layer, gradient, slots)],
  };
}

function inverseSlots(layer: LayerScores): Record<string, SlotSpec> {
  const { dtype } = layer.deltas;
  const { inputs, outputs } = factorOrders(layer);
  return {
    weightInverse: { shape: [inputs, layer.inputs.shape[1]], dtype },
    ...(layer.bias !== undefined && { biasInverse: { shape: [inputs, 1], dtype } }),
    outputInverse: { shape: [outputs, outputs], dtype },
  };
}

/** The outcome of both inversions, whose dampings multiply to λ. */
function together(input: RefreshOutcome, output: RefreshOutcome, damping: number): RefreshOutcome {
  const retries = Math.max(input.retries, output.retries);
  const failure = input.failure ?? output.failure;
  return { damping: retries === 0 ? damping : input.damping * output.damping, retries, failure };
}

/** The weights' columns of A⁻¹ and the bias's. */
function splitColumns(inverse: Float64Array, layer: LayerScores, slots: SlotArrays): void {
  const { weightInverse, biasInverse } = slots;
  if (!biasInverse) {
    weightInverse.set(inverse);
    return;
  }
  const features = layer.inputs.shape[1];
  const order = features + 1;
  for (let row = 0; row < order; row++) {
    weightInverse.set(inverse.subarray(row * order, row * order + features), row * features);
    biasInverse[row] = inverse[row * order + features];
  }
}

/** G⁻¹(δᵀā/N)A⁻¹ as (G⁻¹δᵀ/N)(A⁻¹āᵀ)ᵀ. */
function throughFactors(batch: LayerScores, slots: SlotSymbols): LayerVector {
  const { inputs, deltas, biasInput } = batch;
  const { weightInverse, biasInverse, outputInverse } = slots;
  const left = matmul(outputInverse, multiply(deltas, 1 / inputs.shape[0]), { transposeB: true });
  const fromWeights = matmul(weightInverse, inputs, { transposeB: true });
  const right = biasInverse ? add(fromWeights, multiply(biasInverse, biasInput)) : fromWeights;
  return outerDirection(batch, left, right);
}

/** G⁻¹ g A⁻¹. */
function throughGradient(layer: LayerScores, gradient: LayerVector, slots: SlotSymbols): LayerVector {
  const { weightInverse, biasInverse, outputInverse } = slots;
  const left = matmul(outputInverse, vectorMatrix(gradient));
  return {
    weight: matmul(left, weightInverse),
    bias: layer.bias === undefined ? undefined : reshape(matmul(left, biasInverse), [-1]),
  };
}

/** π, the root of the ratio of mean eigenvalues; 1 where one of the factors is zero. */
function balance(averages: SlotArrays, layer: LayerScores): number {
  const { inputs, outputs } = factorOrders(layer);
  const trace = traces(averages, layer);
  const ratio = trace.inputs / inputs / (trace.outputs / outputs);
  return ratio > 0 && ratio < Infinity ? Math.sqrt(ratio) : 1;
}
