/**
 * K-FAC without damping on wide networks, in the space of the samples.
 *
 * With fewer samples than units the factors A = āᵀā/N and G = δᵀδ/N [Martens15] are singular, and the limit of vanishing damping takes their
 * pseudo-inverses. As X⁺ of both sides acts through kernels alone, no matrix of the layer's width is inverted:
 *
 *   δW_l = G⁺ (δᵀ diag(r) ā/N) A⁺ = N δᵀ (δδᵀ)⁻¹ diag(r) (āāᵀ)⁻¹ ā,   r = f − y
 *   δW_L = rᵀ (āāᵀ)⁻¹ ā   for the last layer of one output, whose δ is 1 and whose G is the number 1
 *
 * | symbol     | variable             | shape   |
 * | ---------- | -------------------- | ------- |
 * | ā, δ       | `inputs`, `deltas`   | (N, F), (N, O) |
 * | āāᵀ, δδᵀ   | `Q`, `B`             | (N, N)  |
 * | what stands between δᵀ and ā | `cores` | (N, N) |
 *
 * Differs from `kfac()`: no damping, and no moving averages; a test compares the two where the damping is small.
 */
import { RunError } from "../errors.ts";
import type { LayerScores } from "../fisher/index.ts";
import { input, matmul, multiply, type NamedOutputs, subtract } from "../graph/index.ts";
import { choleskySolveAsync, dampedCholeskyAsync } from "../linalg/index.ts";
import type { Runtime } from "../runtime/session.ts";
import type { NamedTensors, Tensor } from "../tensor.ts";
import { type EvaluationOptions, evaluateJacobian, type FiniteNetwork } from "../theory/finite.ts";
import {
  empiricalKernels,
  finiteNetwork,
  initialValues,
  type KernelMatrix,
  type WideNetwork,
} from "../theory/index.ts";
import type { ClassSubset } from "./class-subset.ts";
import { courseOf, type TrainedCourse } from "./wide-training.ts";

export interface KfacTraining {
  readonly network: WideNetwork;
  readonly width: number;
  readonly learningRate: number;
  readonly steps: number;
  readonly seed: number;
  readonly runtime: Runtime;
  /** Called after every step. */
  onStep?(step: number): Promise<void>;
}

/**
 * Trains on the whole training part at every step, from the initial values of a trainer of the same seed.
 *
 * @throws RunError when a kernel is singular
 */
export async function trainKfac(subset: ClassSubset, training: KfacTraining): Promise<TrainedCourse> {
  const { network, width, learningRate, steps, seed, runtime, onStep } = training;
  const { inputs, targets } = subset.training;
  const model = finiteNetwork(network, width).build([inputs.shape[1]]);
  let parameters = initialValues(model, seed);
  const outputs: Pick<Tensor, "shape" | "data">[][] = [];
  for (let step = 0; ; step++) {
    const kernels = await empiricalKernels({ model, parameters }, inputs, subset.test.inputs, { runtime });
    outputs.push([kernels.train.outputs, kernels.test!.outputs]);
    if (step > 0) await onStep?.(step);
    if (step === steps) break;
    const residual = targets.data.map((y: number, n: number) => kernels.train.outputs.data[n] - y);
    const cores = await kfacCores(kernels.train, residual);
    parameters = await takeStep({ model, parameters }, inputs, cores, learningRate, { runtime });
  }
  const [[initial, initialTest]] = outputs;
  return { initial, initialTest, finalTest: outputs.at(-1)![1], ...courseOf(subset, outputs) };
}

/**
 * What stands between δᵀ and ā in every layer's direction, L × (N, N).
 *
 * @throws RunError when a kernel is singular
 */
export async function kfacCores(
  { Q, B }: { readonly Q: readonly KernelMatrix[]; readonly B: readonly KernelMatrix[] },
  residual: ArrayLike<number>,
): Promise<Float64Array[]> {
  const samples = residual.length;
  const cores: Float64Array[] = [];
  for (const [l, inner] of Q.entries()) {
    const last = l === Q.length - 1;
    // diag(r) (āāᵀ)⁻¹, whose inverse is symmetric; then N (δδᵀ)⁻¹ from the left.
    const core = await solveIdentity(inner, `inputs of layer ${l + 1}`);
    for (let k = 0; k < core.length; k++) core[k] *= residual[Math.floor(k / samples)] * (last ? 1 : samples);
    if (!last) await solve(B[l], core, `derivatives of layer ${l + 1}`);
    cores.push(core);
  }
  return cores;
}

/** W − η δᵀ core ā of every layer. */
function takeStep(
  network: FiniteNetwork,
  inputs: Tensor,
  cores: readonly Float64Array[],
  learningRate: number,
  options: EvaluationOptions,
): Promise<NamedTensors> {
  const samples = inputs.shape[0];
  const extras = Object.fromEntries(
    cores.map((data, l) => [`core/${l}`, { shape: [samples, samples], data }] as const),
  );
  const trace = ({ scores, parameters }: Parameters<Parameters<typeof evaluateJacobian>[2]>[0]) =>
    Object.fromEntries(
      scores.layers.map((layer, l) => [
        layer.weight,
        subtract(parameters.get(layer.weight)!, multiply(direction(layer, l, samples), learningRate)),
      ]),
    ) satisfies NamedOutputs;
  return evaluateJacobian(network, inputs, trace, options, extras).then(
    (moved) => new Map(Object.entries(moved)),
  );
}

function direction({ deltas, inputs }: LayerScores, l: number, samples: number) {
  const core = input(`core/${l}`, [samples, samples], inputs.dtype);
  return matmul(deltas, matmul(core, inputs), { transposeA: true });
}

async function solveIdentity(kernel: KernelMatrix, name: string): Promise<Float64Array> {
  const order = kernel.shape[0];
  const inverse = new Float64Array(order * order);
  for (let n = 0; n < order; n++) inverse[n * (order + 1)] = 1;
  await solve(kernel, inverse, name);
  return inverse;
}

/** K⁻¹ b in place of b, (N, N). */
async function solve({ shape: [order], data }: KernelMatrix, b: Float64Array, name: string): Promise<void> {
  const factored = await dampedCholeskyAsync(data, order, 0, { maxRetries: 0 });
  if (factored.failure !== undefined) throw new RunError(`K-FAC, ${name}: ${factored.failure}`);
  if (!(await choleskySolveAsync(factored.factor, order, b, order))) {
    throw new RunError(`K-FAC, ${name}: the solution is not finite`);
  }
}
