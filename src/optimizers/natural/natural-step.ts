/** Traces what becomes of a natural-gradient direction: clipping, coefficients, trust region, update. */
import { add, input, multiply, type NamedOutputs, negate, type SymbolicTensor } from "../../graph/index.ts";
import { traceSteps, type Updates, updateOutputs } from "../first-order/update.ts";
import type { Problem } from "../optimizer.ts";
import { NEXT } from "../program/step-program.ts";
import type { TracedBatch } from "../program/traced-batch.ts";
import { curvatureBetween, outputChange, slopeAlong } from "../step-rules/output-change.ts";
import { type Chosen, traceCoefficients } from "../step-rules/quadratic-rule.ts";
import { startSlope, stepName } from "../step-rules/step-length.ts";
import { usesNetwork } from "../step-rules/step-rule.ts";
import { traceTrustScale } from "../step-rules/trust-region.ts";
import type { Directions } from "./directions.ts";
import { clipDivergence } from "./kl-clip.ts";
import type { NaturalSettings } from "./natural-method.ts";
import { previousDirectionName } from "./traced-blocks.ts";

/** Scalars that a program of the update reads for its step rule. */
export const STEP_INPUTS = ["modelDamping", "trustRadius"] as const;

/**
 * Scalars that it writes, where the step rule has them: the coefficients chosen, the trust region's factor, and gᵀd and
 * dᵀFd of the step d, the exact Fisher matrix with all layers coupled.
 */
export const STEP_RESULTS = ["alpha", "mu", "trustScale", "stepSlope", "stepCurvature"] as const;

/**
 * Traces θ′ and the rule's state from a direction.
 *
 * @param traced the batch that the step is judged on
 * @param gradient of the same batch; asked for only where something needs it
 */
export function traceNaturalStep(
  problem: Problem,
  settings: NaturalSettings,
  traced: TracedBatch,
  directions: Directions,
  gradient: () => Directions,
): NamedOutputs {
  const { carry, klClip, rule, stepRule } = settings;
  const clipped = klClip === undefined ? directions : clipDivergence(directions, gradient(), klClip, problem);
  const { updates, chosen, change } =
    stepRule.coefficients === "quadratic-model"
      ? chosenUpdates(problem, settings, traced, clipped)
      : givenUpdates(problem, settings, traced, clipped);
  const results: Record<string, SymbolicTensor> = { ...chosen };
  if (carry > 0) {
    for (const [name, node] of directions) results[NEXT + previousDirectionName(name)] = node;
  }
  if (!change) return { ...results, ...updateOutputs(problem, rule, updates) };
  results.stepSlope = negate(slopeAlong(problem, traced, change));
  results.stepCurvature = curvatureBetween(problem, traced, change);
  if (stepRule.lineSearch) {
    const steps = new Map([...updates].map(([name, { step }]) => [name, step] as const));
    for (const [name, step] of steps) results[stepName(name)] = step;
    results.startSlope = startSlope(results.stepSlope, traced.parameters, steps, settings.weightDecay);
  }
  if (!stepRule.trustRegion) return { ...results, ...updateOutputs(problem, rule, updates) };
  const scale = traceTrustScale(problem, results.stepCurvature);
  results.trustScale = scale;
  results.stepSlope = multiply(results.stepSlope, scale);
  results.stepCurvature = multiply(results.stepCurvature, multiply(scale, scale));
  return { ...results, ...updateOutputs(problem, rule, scaleUpdates(updates, scale)) };
}

/** η times the directions, for steps in place. */
export function traceDisplacements({ dtype }: Problem, directions: Directions): Directions {
  const rate = input("learningRate", [], dtype);
  return mapNodes(directions, (node) => multiply(node, rate));
}

interface TracedUpdates {
  readonly updates: Updates;
  readonly chosen?: Chosen;
  /** J u of the step u, where the step rule judges it. */
  readonly change?: SymbolicTensor;
}

/** Learning rate and momentum as given. */
function givenUpdates(
  problem: Problem,
  { rule, stepRule }: NaturalSettings,
  traced: TracedBatch,
  directions: Directions,
): TracedUpdates {
  const updates = traceSteps(
    problem,
    rule,
    rule.scaled ? traceDisplacements(problem, directions) : directions,
  );
  if (!usesNetwork(stepRule)) return { updates };
  const steps = new Map([...updates].map(([name, { step }]) => [name, step] as const));
  return { updates, change: outputChange(traced, steps) };
}

/** Learning rate and momentum from the quadratic model. */
function chosenUpdates(
  problem: Problem,
  { rule, weightDecay }: NaturalSettings,
  traced: TracedBatch,
  directions: Directions,
): TracedUpdates {
  const { dtype, model } = problem;
  const decayed = mapNodes(directions, (node, name) => {
    return weightDecay === 0 ? node : add(node, multiply(traced.parameters.get(name)!, weightDecay));
  });
  const before = rule.slots.includes("velocity")
    ? new Map(
        [...model.parameters].map(
          ([name, { shape }]) => [name, input(`velocity/${name}`, shape, dtype)] as const,
        ),
      )
    : undefined;
  const { chosen, change } = traceCoefficients(problem, traced, weightDecay, decayed, before);
  return { updates: traceSteps(problem, rule, decayed, { ...chosen }), chosen, change };
}

/** The same steps, and with them the velocity that they leave, times a scalar. */
function scaleUpdates(updates: Updates, scale: SymbolicTensor): Updates {
  return new Map(
    [...updates].map(([name, { step, slots }]) => {
      const scaledSlots = Object.entries(slots).map(([slot, node]) => [slot, multiply(node, scale)] as const);
      return [name, { step: multiply(step, scale), slots: Object.fromEntries(scaledSlots) }] as const;
    }),
  );
}

function mapNodes(
  directions: Directions,
  map: (node: SymbolicTensor, name: string) => SymbolicTensor,
): Directions {
  return new Map([...directions].map(([name, node]) => [name, map(node, name)] as const));
}
