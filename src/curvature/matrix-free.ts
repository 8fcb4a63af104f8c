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
 * | x, θ     | `inputs`, `parameter.k`   | (N, …), the parameter's |
 * | s_l      | `preactivations.l`        | (N, O), (N, O, H', W')  |
 * | dropout's numbers | `noise.k`        | the layer's             |
 * | g        | `gradient`                | (P)                 |
 * | δθ       | `solution`                | (P)                 |
 * | diag F   | `diagonal`                | (P)                 |
 *
 * Differs from the paper: the preconditioner (diag F + λ)^¾ is by the exact Fisher matrix, not by the squared
 * gradients of single samples; no backtracking over the iterates and no line search (the damping rule is `damping: {
 * policy: "levenberg-marquardt" }`); g and F are of the same batch.
 */
import { joinVectors, squaredScores, type TracedScores } from "../fisher/index.ts";
import {
  concatenate,
  jvp,
  multiply,
  reshape,
  type SymbolicTensor,
  slice,
  substitute,
  sum,
  vjp,
} from "../graph/index.ts";
import type { CurvatureBlock, SlotArrays, SlotSymbols } from "./block.ts";
import { type ConjugateGradientOptions, iterativeBlock, type MatrixProduct } from "./conjugate-gradient.ts";
import { linearScores } from "./images.ts";
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
    blocks: (scores, context) => [block(scores, context.network)],
    networkBlocks: (scores, context) => [block(scores, context.network)],
  };

  function block(scores: TracedScores, network: TracedNetwork): CurvatureBlock {
    const { layers, samples } = scores;
    const { noise } = network.forward;
    const preconditioned = preconditioner === "diagonal";
    const named = layers.flatMap(({ weight, bias }) => (bias === undefined ? [weight] : [weight, bias]));
    const specs = named.map((name) => network.parameters.get(name)!);
    const statistics = {
      inputs: network.inputs,
      ...Object.fromEntries(specs.map((node, k) => [`parameter.${k}`, node])),
      ...Object.fromEntries(noise.map((node, k) => [`noise.${k}`, node])),
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
    const operator = (vector: SymbolicTensor, slots: SlotSymbols): MatrixProduct => {
      const nodes = specs.map((_, k) => slots[`parameter.${k}`]);
      const parameters = new Map(named.map((name, k) => [name, nodes[k]]));
      const { outputs, taps, noise: drawn } = network.model.forward(slots.inputs, parameters, network.pass);
      const [along] = jvp([outputs], nodes, cutFlat(vector, specs));
      const weighted = outputMetricProduct(metric, network, outputs, along);
      const kept = new Map([
        ...taps.map((tap, l) => [tap.preactivations, slots[`preactivations.${l}`]] as const),
        ...drawn.map((node, k) => [node, slots[`noise.${k}`]] as const),
      ]);
      return {
        curvature: substitute([multiply(sum(multiply(along, weighted)), 1 / samples)], kept)[0],
        back(scale) {
          const product = vjp([outputs], [multiply(weighted, multiply(scale, 1 / samples))], nodes);
          return substitute([concatenate(product.map((part) => reshape(part, [-1])))], kept)[0];
        },
      };
    };
    return iterativeBlock(name, layers, solve, {
      dimension: specs.reduce((total, { size }) => total + size, 0),
      cut(vector) {
        const parts = cutFlat(vector, specs);
        const of = new Map(named.map((name, k) => [name, parts[k]]));
        return layers.map(({ weight, bias }) => ({
          weight: of.get(weight)!,
          bias: bias === undefined ? undefined : of.get(bias),
        }));
      },
      statistics,
      operator,
      diagonal: preconditioned ? diagonal : undefined,
    });
  }
}

/** A flat vector (P) in the shapes of the parameters. */
function cutFlat(vector: SymbolicTensor, specs: readonly SymbolicTensor[]): SymbolicTensor[] {
  let start = 0;
  return specs.map(({ size, shape }) => reshape(slice(vector, [start], [(start += size)]), shape));
}

/** diag F, (P). */
function fisherDiagonal(scores: TracedScores): SymbolicTensor {
  const linear = linearScores(scores, "samples");
  const squares = linear.unpacked(linear.scores.layers.map(squaredScores));
  return multiply(joinVectors(squares), 1 / scores.samples);
}
