/**
 * Steps of large dense networks in place: half the memory, and on 784-1000-1000-10 a tenth less time (docs/performance.md), for every
 * number that a step writes beside the old one has to be fetched into the cache first.
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
  type NamedOutputs,
  type SymbolicTensor,
  squaredNorm,
} from "../../graph/index.ts";
import { matmulAttributes } from "../../graph/matmul.ts";
import { optimize } from "../../graph/optimize.ts";
import { sinkFactors } from "../../graph/sink.ts";
import { inputName } from "../../graph/symbolic.ts";
import type { Arrays } from "../../runtime/session.ts";
import { allocate, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { NEXT, StepProgram } from "../program/step-program.ts";
import { allocateSpec, batchArrays, traceBatch, traceNamedGradient } from "../program/traced-batch.ts";
import type { UpdateRule } from "./rule.ts";
import { type PlanContext, type StepPlan, stepOutcome } from "./step-plan.ts";
import { traceSteps, updateOutputs } from "./update.ts";

/** Parameters from which on steps are taken in place; chosen, not measured: smaller networks have little memory to save. */
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

/** The steps in place of one method. */
export class InPlace {
  readonly #context: PlanContext;
  readonly #names: readonly string[];
  /** Names of the state that is θ − θ' after a step. */
  readonly #velocities: readonly string[];
  /** No velocity is larger; infinite where nobody has looked. */
  #reach = 0;
  #taken = 0;

  constructor(context: PlanContext) {
    this.#context = context;
    this.#names = [...context.state.specs.keys()];
    this.#velocities = this.#names.filter((name) => name.startsWith(`${context.rule.displacement!.slot}/`));
  }

  /** To be called when the state was replaced from outside. */
  forget(): void {
    this.#reach = Number.POSITIVE_INFINITY;
  }

  /**
   * Compiles a step in two programs.
   *
   * @param outputs what the first one computes beside the gradients
   * @param gradients times η, or directions in their place, by full name
   */
  async compile(
    outputs: NamedOutputs,
    gradients: ReadonlyMap<string, SymbolicTensor>,
    buffers: readonly DoubleBuffer[],
    arrays: Arrays,
    options: { readonly hostBytes?: number } = {},
  ): Promise<InPlaceStep> {
    const { problem, rule } = this.#context;
    const handed = handOver(gradients, new Set(this.#names));
    const steps = updateOutputs(problem, rule, traceSteps(problem, rule, handed.gradients), false);
    const [between, squaredNorms] = [arraysOf(handed.tensors), arraysOf(handed.squares)];
    const bound = { ...arrays, ...between, ...squaredNorms };
    const inPlace = this.#names.map((name): InPlacePair => [NEXT + name, name]);
    const first = { ...outputs, ...handed.tensors, ...handed.squares };
    const prepare = await StepProgram.compile(problem, first, buffers, bound, options);
    const step = await StepProgram.compile(problem, steps, buffers, bound, { ...options, inPlace });
    const vectors = Object.keys(between).filter((name) => handed.tensors[name].rank < 2);
    const guard = () =>
      Object.values(squaredNorms).reduce((sum, [square]) => sum + square, 0) +
      vectors.reduce((sum, name) => sum + squares(between[name]), 0);
    return new InPlaceStep(prepare, step, (run) => this.#take(run, guard()));
  }

  /** ‖θ' − θ‖₂ of the newest step; NaN when asked after the next. */
  measure(): () => number {
    const taken = this.#taken;
    return () => {
      if (this.#taken !== taken) return Number.NaN;
      const { current } = this.#context.state;
      return Math.sqrt(this.#velocities.reduce((sum, name) => sum + squares(current[name]), 0));
    };
  }

  async #take(run: () => void | Promise<void>, guard: number): Promise<boolean> {
    const { rule, scalars, state } = this.#context;
    const values = Object.fromEntries(Object.entries(scalars).map(([name, [value]]) => [name, value]));
    const bound = rule.displacement!.carried(values) * this.#reach + guard;
    const before = bound < ORDINARY ? undefined : state.snapshot();
    this.#taken++;
    await run();
    this.#reach = bound;
    if (!before) return true;
    const { current } = state;
    const finite = this.#names.every((name) => current[name].every(Number.isFinite));
    if (!finite) for (const [name, { data }] of before) current[name].set(data);
    this.#reach = this.#velocities.reduce((most, name) => largest(current[name], most), 0);
    return finite;
  }
}

/** A step that has not happened until it is committed. */
export class InPlaceStep {
  readonly #prepare: StepProgram;
  readonly #step: StepProgram;
  readonly #take: (run: () => void | Promise<void>) => Promise<boolean>;

  constructor(
    prepare: StepProgram,
    step: StepProgram,
    take: (run: () => void | Promise<void>) => Promise<boolean>,
  ) {
    this.#prepare = prepare;
    this.#step = step;
    this.#take = take;
  }

  /** Computes all that decides whether the step is to be taken. */
  run(): void | Promise<void> {
    return this.#prepare.run();
  }

  /** Takes the step. @returns false, and the state is as it was, when it leaves the finite numbers */
  commit(): Promise<boolean> {
    return this.#take(() => this.#step.run());
  }

  dispose(): void {
    this.#prepare.dispose();
    this.#step.dispose();
  }
}

/** A first-order method's steps on batches of one size. */
export async function inPlacePlan(
  { problem, state, scalars }: PlanContext,
  samples: number,
  inPlace: InPlace,
): Promise<StepPlan> {
  const traced = traceBatch(problem, samples);
  const rate = input("learningRate", [], problem.dtype);
  const gradients = traceNamedGradient(problem.likelihood, traced, { factor: rate });
  const outputs = { loss: traceLoss(traced.forward, problem.likelihood, traced.targets) };
  const batch = batchArrays(traced);
  const loss = allocate(problem.dtype, 1);
  const step = await inPlace.compile(outputs, gradients, [state], { ...batch, ...scalars, loss });
  return {
    batch,
    async take() {
      await step.run();
      const finite = Number.isFinite(loss[0]) && (await step.commit());
      return stepOutcome(loss[0], finite, inPlace.measure());
    },
    dispose: () => step.dispose(),
  };
}

function arraysOf(tensors: NamedOutputs): Record<string, TypedArray> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, allocateSpec(tensor)]));
}

/** Gradients in two parts: what one program computes, and how another one makes the gradients of it. */
interface HandedOver {
  readonly tensors: Record<string, SymbolicTensor>;
  /** ‖·‖² of what is handed over and of what is there already, as the batch is; that of vectors is left to the host, where it is cheaper. */
  readonly squares: Record<string, SymbolicTensor>;
  readonly gradients: ReadonlyMap<string, SymbolicTensor>;
}

/**
 * Takes gradients that are matrix products apart. Factors are handed over transposed, features by samples, which is how wide networks
 * keep their activations (see graph/orient.ts).
 */
function handOver(gradients: ReadonlyMap<string, SymbolicTensor>, state: ReadonlySet<string>): HandedOver {
  // Scalar factors go into a factor of a product where that costs nothing, so that the product is the outermost operation.
  const simplified = sinkFactors(optimize([...gradients.values()]));
  const tensors: Record<string, SymbolicTensor> = {};
  const squares: Record<string, SymbolicTensor> = {};
  const received = new Map<SymbolicTensor, Received>();
  const hand = (tensor: SymbolicTensor, transposed: boolean): Received => {
    const known = received.get(tensor);
    if (known) return known;
    const name = `handed/${received.size}`;
    if (tensor.rank > 1) squares[`square/${received.size}`] = squaredNorm(tensor);
    const fed = inputName(tensor);
    const isThere = fed !== undefined && !state.has(fed);
    const sent = transposed && !isThere ? matrixTranspose(tensor) : tensor;
    if (!isThere) tensors[name] = sent;
    const arrived = isThere ? tensor : input(name, sent.shape, sent.dtype);
    received.set(tensor, { tensor: arrived, transposed: sent !== tensor });
    return received.get(tensor)!;
  };
  const rebuilt = [...gradients.keys()].map((name, k) => {
    const gradient = simplified[k];
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
