/**
 * Matrix-free solve of the full system (M + λI) δθ = g by conjugate gradients, M known by its products with vectors.
 *
 *   M v = (1/N) Jᵀ (H_out (J v))             Hessian-free optimization [Martens10; Johnson17 §6 and eq. 43, §C]
 *
 * a Jacobian-vector product, the small output metric of each sample, a vector-Jacobian product: two passes over the network,
 * and no score matrix, whatever the number of outputs is. The batch, the parameters and the pre-activations of the refresh are
 * kept, so that M stays what it was between refreshes and no product repeats the forward pass.
 *
 * | symbol   | slot                      | shape               |
 * | -------- | ------------------------- | ------------------- |
 * | x, θ     | `inputs`, `parameter.l.…` | (N, …), the layer's |
 * | s_l      | `preactivations.l`        | (N, O)              |
 * | g        | `gradient`                | (P)                 |
 * | δθ       | `solution`                | (P)                 |
 * | diag F   | `diagonal`                | (P)                 |
 *
 * Differs from the paper: the preconditioner (diag F + λ)^¾ is by the exact Fisher matrix, not by the squared
 * gradients of single samples; no backtracking over the iterates and no line search (the damping rule is `damping: {
 * policy: "levenberg-marquardt" }`); g and F are of the same batch.
 */
import { cutVector, joinVectors, type LayerVector, type Scores, squaredScores } from "../fisher/index.ts";
import { jvp, multiply, type SymbolicTensor, substitute, vjp } from "../graph/index.ts";
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
    images: "none",
    blocks(scores, { network }) {
      const { layers, samples } = scores;
      const preconditioned = preconditioner === "diagonal";
      const statistics = {
        inputs: network.inputs,
        ...keptParameters(scores, network),
        ...Object.fromEntries(layers.map((layer, l) => [`preactivations.${l}`, layer.preactivations])),
        ...(preconditioned && { diagonal: fisherDiagonal(scores) }),
      };
      const diagonal = (slots: SlotArrays, damping: number) => {
        const result = new Float64Array(slots.diagonal);
        for (let k = 0; k < result.length; k++) {
          result[k] = (result[k] + damping) ** PRECONDITIONER_EXPONENT || 1;
        }
        return result;
      };
      const operator = (vector: SymbolicTensor, slots: SlotSymbols) => {
        const parameters = layers.flatMap((layer, l) => parts(layer, slots, l));
        const named = new Map(parameters);
        const { outputs, taps } = network.model.forward(slots.inputs, named, network.pass);
        const nodes = parameters.map(([, node]) => node);
        const tangents = cutVector(layers, vector).flatMap(vectorParts);
        const [along] = jvp([outputs], nodes, tangents);
        const weighted = outputMetricProduct(metric, network, outputs, along);
        const product = vjp([outputs], [multiply(weighted, 1 / samples)], nodes);
        const results = new Map(parameters.map(([parameter], k) => [parameter, product[k]]));
        const joined = joinVectors(
          layers.map(({ weight, bias }) => ({
            weight: results.get(weight)!,
            bias: bias === undefined ? undefined : results.get(bias),
          })),
        );
        const kept = new Map(taps.map((tap, l) => [tap.preactivations, slots[`preactivations.${l}`]]));
        return substitute([joined], kept)[0];
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
  return multiply(joinVectors(layers.map(squaredScores)), 1 / samples);
}
