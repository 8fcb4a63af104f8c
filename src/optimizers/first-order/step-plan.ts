/** What a first-order method does with batches of one size. */

import { traceLoss } from "../../fisher/index.ts";
import { input } from "../../graph/index.ts";
import { allocate, type TypedArray } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { StepProgram } from "../program/step-program.ts";
import {
  type BatchArrays,
  batchArrays,
  traceBatch,
  traceBuffers,
  traceNamedGradient,
} from "../program/traced-batch.ts";
import type { UpdateRule } from "./rule.ts";
import { divisorIsFinite, stepNorm, traceUpdate } from "./update.ts";

/** Steps on batches of one size. */
export interface StepPlan {
  /** What a batch is copied into. */
  readonly batch: BatchArrays;
  /** Takes the step, or leaves the state as it was. */
  take(): Promise<StepOutcome>;
  dispose(): void;
}

export interface StepOutcome {
  readonly loss: number;
  /** `"ok"`, or why the state is as it was. */
  readonly status: string;
  /** ‖θ' − θ‖₂; NaN when it was overwritten since by a step in place. */
  stepNorm(): number;
}

/** What a method's plans share. */
export interface PlanContext {
  readonly problem: Problem;
  readonly rule: UpdateRule;
  readonly state: DoubleBuffer;
  /** Scalars of the rule, written before every step. */
  readonly scalars: Readonly<Record<string, TypedArray>>;
}

/** The outcome of a step that was, or was not, taken. */
export function stepOutcome(loss: number, finite: boolean, norm: () => number): StepOutcome {
  if (!Number.isFinite(loss)) {
    return { loss, status: `rejected: the loss is ${loss} at the current parameters`, stepNorm: () => 0 };
  }
  if (!finite) return { loss, status: "rejected: the update is not finite", stepNorm: () => 0 };
  return { loss, status: "ok", stepNorm: norm };
}

/** Steps by one program that writes the proposed state beside the current one. */
export async function doubleBufferedPlan(context: PlanContext, samples: number): Promise<StepPlan> {
  const { problem, rule, state, scalars } = context;
  const traced = traceBatch(problem, samples);
  const rate = input("learningRate", [], problem.dtype);
  const gradient = traceNamedGradient(problem.likelihood, traced, rule.scaled ? { factor: rate } : {});
  const outputs = {
    loss: traceLoss(traced.forward, problem.likelihood, traced.targets),
    ...traceBuffers(traced),
    ...traceUpdate(problem, rule, gradient),
  };
  const batch = batchArrays(traced);
  const loss = allocate(problem.dtype, 1);
  const program = await StepProgram.compile(problem, outputs, [state], {
    ...batch,
    ...scalars,
    loss,
  });
  return {
    batch,
    async take() {
      const running = program.run();
      if (running) await running;
      const norm = stepNorm(problem, state, scalars);
      const finite = Number.isFinite(norm) && divisorIsFinite(problem, rule, state, scalars);
      const outcome = stepOutcome(loss[0], finite, () => norm);
      if (outcome.status === "ok") state.accept();
      return outcome;
    },
    dispose: () => program.dispose(),
  };
}
