/**
 * Steps of large dense networks in place: half the memory, and a tenth less time, for every number that a step writes beside the old
 * one has to be fetched into the cache first.
 *
 * A step that is rejected must leave the state as it was, bit for bit, so nothing may be overwritten before it is known that the
 * step will be accepted. The step is therefore two programs. The first computes the loss and the gradients, those of weight
 * matrices as the two factors of g = Δᵀa, which are small, and
 *
 *   guard = Σ ‖factor‖² ≥ |g_ij|       because |g_ij| ≤ ‖Δ‖‖a‖ ≤ (‖Δ‖² + ‖a‖²)/2, or |g_ij| ≤ ‖g‖² where that is above 1.
 *
 * With |u| ≤ κ·reach + guard, the velocity and the parameters stay finite as long as that is below {@link ORDINARY}: a
 * displacement this small cannot carry a finite float32 over the largest one, whose neighbour is 2·10³¹ away. The second
 * program then forms the products and takes the step u ← κu + g, θ ← θ − u. Where the bound does not tell, the state is
 * copied, the step taken and looked at, and the copy put back if it is not finite.
 */
import { traceLoss } from "../../fisher/index.ts";
import {
  type InPlacePair,
  input,
  matmul,
  matrixTranspose,
  type SymbolicTensor,
  squaredNorm,
} from "../../graph/index.ts";
import { matmulAttributes } from "../../graph/matmul.ts";
import { inputName } from "../../graph/symbolic.ts";
import { allocate, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import { NEXT, StepProgram } from "../program/step-program.ts";
import { allocateSpec, batchArrays, traceBatch, traceNamedGradient } from "../program/traced-batch.ts";
import type { UpdateRule } from "./rule.ts";
import { type PlanContext, type StepPlan, stepOutcome } from "./step-plan.ts";
import { traceSteps, updateOutputs } from "./update.ts";

/** Parameters from which on a step in place is faster than one beside. */
const LARGE = 100_000;
/** What a displacement may be without a closer look. */
const ORDINARY = 1e30;

/**
 * Whether a problem's steps are taken in place: most parameters are matrices of dense layers, nothing else has to be put back,
 * the rule has a displacement, and the runtime lets outputs overwrite inputs.
 */
export function stepsInPlace({ model, runtime }: Problem, rule: UpdateRule): boolean {
  if (!rule.displacement || runtime.kind !== "native" || model.buffers.size > 0) return false;
  let matrices = 0;
  let total = 0;
  for (const { shape } of model.parameters.values()) {
    const size = shape.reduce((a, b) => a * b, 1);
    total += size;
    if (shape.length === 2) matrices += size;
  }
  return total >= LARGE && matrices > total / 2;
}

/** Steps by two programs that overwrite the state. */
export async function inPlacePlan(context: PlanContext, samples: number, reach: Reach): Promise<StepPlan> {
  const { problem, rule, state, scalars } = context;
  const traced = traceBatch(problem, samples);
  const rate = input("learningRate", [], problem.dtype);
  const handed = handOver(traceNamedGradient(problem.likelihood, traced, { factor: rate }));
  const first = {
    loss: traceLoss(traced.forward, problem.likelihood, traced.targets),
    ...handed.tensors,
    ...handed.squares,
  };
  const steps = updateOutputs(problem, rule, traceSteps(problem, rule, handed.gradients), false);
  const names = [...state.specs.keys()];

  const batch = batchArrays(traced);
  const loss = allocate(problem.dtype, 1);
  const arraysOf = (tensors: Readonly<Record<string, SymbolicTensor>>) =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, allocateSpec(tensor)]));
  const [between, squaredNorms] = [arraysOf(handed.tensors), arraysOf(handed.squares)];
  const arrays = { ...batch, ...between, ...squaredNorms, ...scalars, loss };
  const prepare = await StepProgram.compile(problem, first, [state], arrays);
  const overwritten = names.map((name): InPlacePair => [NEXT + name, name]);
  const step = await StepProgram.compile(problem, steps, [state], arrays, { inPlace: overwritten });

  const velocities = names.filter((name) => name.startsWith(`${rule.displacement!.slot}/`));
  const vectors = Object.keys(between).filter((name) => handed.tensors[name].rank < 2);
  const guard = () =>
    Object.values(squaredNorms).reduce((sum, [square]) => sum + square, 0) +
    vectors.reduce((sum, name) => sum + squares(between[name]), 0);
  const measure = () => Math.sqrt(velocities.reduce((sum, name) => sum + squares(state.current[name]), 0));
  return {
    batch,
    async take() {
      const count = ++reach.steps;
      const norm = () => (reach.steps === count ? measure() : Number.NaN);
      await prepare.run();
      if (!Number.isFinite(loss[0])) return stepOutcome(loss[0], false, norm);
      const values = Object.fromEntries(Object.keys(scalars).map((name) => [name, scalars[name][0]]));
      const bound = rule.displacement!.carried(values) * reach.velocity + guard();
      if (bound < ORDINARY) {
        await step.run();
        reach.velocity = bound;
        return stepOutcome(loss[0], true, norm);
      }
      const before = state.snapshot();
      await step.run();
      const finite = names.every((name) => state.current[name].every(Number.isFinite));
      if (finite) reach.velocity = velocities.reduce((most, name) => largest(state.current[name], most), 0);
      else for (const [name, { data }] of before) state.current[name].set(data);
      return stepOutcome(loss[0], finite, norm);
    },
    dispose() {
      prepare.dispose();
      step.dispose();
    },
  };
}

/** What the plans of a method know of its state. */
export interface Reach {
  /** No velocity is larger; infinite where nobody has looked. */
  velocity: number;
  /** Steps tried. */
  steps: number;
}

/** Gradients in two parts: what one program computes, and how another one makes the gradients of it. */
interface HandedOver {
  readonly tensors: Record<string, SymbolicTensor>;
  /** ‖·‖² of what is handed over and of the batch; that of vectors is left to the host, where it is cheaper. */
  readonly squares: Record<string, SymbolicTensor>;
  readonly gradients: ReadonlyMap<string, SymbolicTensor>;
}

/**
 * Takes gradients that are matrix products apart. Factors are handed over transposed, features by samples, which is how wide networks
 * keep their activations (see graph/orient.ts).
 */
function handOver(gradients: ReadonlyMap<string, SymbolicTensor>): HandedOver {
  const tensors: Record<string, SymbolicTensor> = {};
  const squares: Record<string, SymbolicTensor> = {};
  const received = new Map<SymbolicTensor, Received>();
  const hand = (tensor: SymbolicTensor, transposed: boolean): Received => {
    const known = received.get(tensor);
    if (known) return known;
    const name = `handed/${received.size}`;
    if (tensor.rank > 1) squares[`square/${received.size}`] = squaredNorm(tensor);
    const isBatch = inputName(tensor) !== undefined;
    const sent = transposed && !isBatch ? matrixTranspose(tensor) : tensor;
    if (!isBatch) tensors[name] = sent;
    const arrived = isBatch ? tensor : input(name, sent.shape, sent.dtype);
    received.set(tensor, { tensor: arrived, transposed: sent !== tensor });
    return received.get(tensor)!;
  };
  const rebuilt = [...gradients].map(([name, gradient]) => {
    const product = gradient.rank === 2 ? matmulAttributes(gradient) : undefined;
    if (!product) return [name, hand(gradient, false).tensor] as const;
    const [a, b] = gradient.inputs.map((factor) => hand(factor, true));
    const transposeA = product.transposeA !== a.transposed;
    const transposeB = product.transposeB !== b.transposed;
    return [name, matmul(a.tensor, b.tensor, { transposeA, transposeB })] as const;
  });
  return { tensors, squares, gradients: new Map(rebuilt) };
}

/** A tensor as the second program gets it. */
interface Received {
  readonly tensor: SymbolicTensor;
  readonly transposed: boolean;
}

function squares(values: TypedArray): number {
  let total = 0;
  for (let k = 0; k < values.length; k++) total += values[k] * values[k];
  return total;
}

function largest(values: TypedArray, least: number): number {
  let most = least;
  for (let k = 0; k < values.length; k++) most = Math.max(most, Math.abs(values[k]));
  return most;
}
