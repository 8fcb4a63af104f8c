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
 * | what stands between δᵀ and ā | `cores` (`theory/kfac.ts`) | (N, N) |
 *
 * Differs from `kfac()`: no damping, and no moving averages; a test compares the two where the damping is small.
 */
import { RunError } from "../errors.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Tensor } from "../tensor.ts";
import {
  empiricalKernels,
  finiteNetwork,
  initialValues,
  kfacCores,
  linearizedParameters,
  type WideNetwork,
} from "../theory/index.ts";
import type { ClassSubset } from "./class-subset.ts";
import { kinkCrossings, openUnits } from "./kinks.ts";
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
  const sides: Uint8Array[] = [];
  for (let step = 0; ; step++) {
    const kernels = await empiricalKernels({ model, parameters }, inputs, subset.test.inputs, { runtime });
    outputs.push([kernels.train.outputs, kernels.test!.outputs]);
    if (network.activation === "relu" && step > steps - 3) {
      sides.push(await openUnits({ model, parameters }, inputs, { runtime }));
    }
    if (step > 0) await onStep?.(step);
    if (step === steps) break;
    const { Q: A, B, outputs: f } = kernels.train;
    const move = targets.data.map((y: number, n: number) => -learningRate * (f.data[n] - y));
    const found = await kfacCores({ A, B }, move);
    if (found.failure !== undefined) throw new RunError(found.failure);
    const moves = found.cores.map((core) => ({ core }));
    parameters = await linearizedParameters({ model, parameters }, inputs, moves, { runtime });
  }
  const [[initial, initialTest]] = outputs;
  const crossings = kinkCrossings(sides);
  return { initial, initialTest, finalTest: outputs.at(-1)![1], ...courseOf(subset, outputs), crossings };
}
