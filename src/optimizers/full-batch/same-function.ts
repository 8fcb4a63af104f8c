/** Full-batch methods compare losses of one function at several places: nothing in it may change by itself. */
import { UsageError } from "../../errors.ts";
import type { Problem } from "../optimizer.ts";
import { traceBatch } from "../program/traced-batch.ts";

/** @throws UsageError for a model with dropout or batch normalization */
export function requireSameFunction(method: string, problem: Problem): void {
  const drops = traceBatch(problem, 1).forward.noise.length > 0;
  if (!drops && problem.model.buffers.size === 0) return;
  const layer = drops ? "dropout" : "batch normalization";
  throw new UsageError(
    `${method} takes no model with ${layer}: it compares losses of one and the same function`,
  );
}
