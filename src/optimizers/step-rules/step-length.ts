/**
 * The length t of a step by a line search on φ(t) = L(θ − tu), u the step that the other rules propose: Armijo's sufficient
 * decrease, or both strong Wolfe conditions [Nocedal & Wright 2006 §3.1 and §3.5]; the first length tried is 1.
 *
 * With weight decay w, φ counts what the step adds to the penalty (w/2)‖θ‖² as well. Only evaluations of the network on the
 * batch are made: the losses, and for Wolfe's second condition the slopes by a Jacobian-vector product along u.
 *
 * | symbol      | array                                     |
 * | ----------- | ----------------------------------------- |
 * | t           | `stepLength`                              |
 * | u           | `step/…`, written by the update's program |
 * | φ(t), φ'(t) | `trialLoss`, `trialSlope`                 |
 * | φ'(0)       | `startSlope`, by the update's program     |
 */
import { traceLoss } from "../../fisher/index.ts";
import {
  add,
  input,
  multiply,
  type NamedOutputs,
  negate,
  type SymbolicTensor,
  subtract,
  sum,
} from "../../graph/index.ts";
import { allocate, sizeOf, type TypedArray } from "../../tensor.ts";
import type { Directions } from "../natural/directions.ts";
import type { NaturalSettings } from "../natural/natural-method.ts";
import type { NaturalPlan } from "../natural/natural-plan.ts";
import { penaltyChange } from "../natural/observation.ts";
import type { Problem } from "../optimizer.ts";
import { lossRounding } from "../program/rounding.ts";
import { NEXT } from "../program/step-program.ts";
import { parameterInput, type TracedBatch } from "../program/traced-batch.ts";
import { armijo, type LineSearchStatus, strongWolfe } from "./line-search.ts";
import { outputChange, slopeAlong } from "./output-change.ts";

/** Where the step of a parameter is kept for a line search. */
export function stepName(parameter: string): string {
  return `step/${parameter}`;
}

/** Arrays of a line search: its scalars, and the step it searches along. */
export function lengthArrays({ model, dtype }: Problem): Record<string, TypedArray> {
  const scalars = ["stepLength", "startSlope", "trialLoss", "trialSlope"].map(
    (name) => [name, allocate(dtype, 1)] as const,
  );
  const steps = [...model.parameters].map(
    ([name, { shape }]) => [stepName(name), allocate(dtype, sizeOf(shape))] as const,
  );
  return Object.fromEntries([...scalars, ...steps]);
}

/** How a search ended: t, φ(t), and in words what should be known of it; rejected where nothing was found. */
export interface FoundLength {
  readonly length: number;
  readonly status: string;
}

/** Status of a search that found the minimum reached already. */
const HIDDEN: LineSearchStatus = "no lower loss that rounding does not hide";

/**
 * Searches along the step proposed, and proposes θ − tu, with the velocity tu, in its place.
 *
 * @param loss φ(0)
 */
export async function searchLength(
  problem: Problem,
  settings: NaturalSettings,
  plan: NaturalPlan,
  arrays: Readonly<Record<string, TypedArray>>,
  loss: number,
): Promise<FoundLength> {
  const wolfe = settings.stepRule.lineSearch === "strong-wolfe";
  const trial = await plan.program("trial", (traced) => traceTrial(problem, settings, traced, wolfe));
  const evaluate = async (length: number) => {
    arrays.stepLength[0] = length;
    const running = trial.run();
    if (running) await running;
    return { value: arrays.trialLoss[0], slope: arrays.trialSlope[0] };
  };
  const start = { value: loss, slope: arrays.startSlope[0] };
  const search = wolfe ? strongWolfe : armijo;
  const { step: length, status } = await search(evaluate, start, { rounding: lossRounding(loss, problem) });
  if (length === 0 && status !== HIDDEN) return { length, status: `rejected: line search: ${status}` };
  if (length !== 1) {
    arrays.stepLength[0] = length;
    await (await plan.program("advance", (traced) => traceAdvance(settings, traced))).run();
  }
  if (length === 0) return { length, status: `converged: ${status}` };
  return { length, status: status === "ok" ? "ok" : `line search: ${status}; the best step is taken` };
}

/** φ'(0) = −(g + wθ)ᵀu, from −gᵀu. */
export function startSlope(
  slope: SymbolicTensor,
  parameters: ReadonlyMap<string, SymbolicTensor>,
  steps: Directions,
  weightDecay: number,
): SymbolicTensor {
  if (weightDecay === 0) return slope;
  const terms = [...steps].map(([name, step]) => sum(multiply(step, parameters.get(name)!)));
  return subtract(slope, multiply(terms.reduce(add), weightDecay));
}

/** φ(t) and, where asked for, φ'(t). */
function traceTrial(
  problem: Problem,
  { weightDecay }: NaturalSettings,
  traced: TracedBatch,
  slope: boolean,
): NamedOutputs {
  const { steps, parameters } = traceShortened(traced);
  const forward = problem.model.forward(traced.inputs, parameters, traced.pass);
  const at: TracedBatch = { ...traced, parameters, forward };
  const loss = traceLoss(forward, problem.likelihood, traced.targets);
  const penalty = penaltyChange(traced.parameters, parameters, weightDecay);
  const results = { trialLoss: weightDecay === 0 ? loss : add(loss, penalty) };
  if (!slope) return results;
  const along = negate(slopeAlong(problem, at, outputChange(at, steps)));
  return { ...results, trialSlope: startSlope(along, parameters, steps, weightDecay) };
}

/** θ − tu and, where the method keeps a velocity, tu. */
function traceAdvance({ rule }: NaturalSettings, traced: TracedBatch): NamedOutputs {
  const { length, steps, parameters } = traceShortened(traced);
  const outputs: Record<string, SymbolicTensor> = {};
  for (const [name, node] of parameters) outputs[NEXT + parameterInput(name)] = node;
  for (const slot of rule.slots) {
    for (const [name, step] of steps) outputs[`${NEXT}${slot}/${name}`] = multiply(step, length);
  }
  return outputs;
}

function traceShortened({ parameters }: TracedBatch) {
  const [first] = parameters.values();
  const length = input("stepLength", [], first.dtype);
  const steps: Directions = new Map();
  const shortened: Directions = new Map();
  for (const [name, node] of parameters) {
    const step = input(stepName(name), node.shape, node.dtype);
    steps.set(name, step);
    shortened.set(name, subtract(node, multiply(step, length)));
  }
  return { length, steps, parameters: shortened };
}
