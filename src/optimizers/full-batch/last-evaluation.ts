/**
 * What was computed last, and of what: on full batches a step ends at the parameters where the next one starts, on the same rows, and
 * the line search has been there. Copies are compared, so that parameters that were set and batches that changed are seen.
 */
import type { TypedArray } from "../../tensor.ts";
import type { Batch } from "../optimizer.ts";

export class LastEvaluation<Result> {
  #parameters: readonly TypedArray[] = [];
  #batch: readonly TypedArray[] = [];
  #result: Result | undefined;

  /** The result kept of these parameters and this batch. */
  find(parameters: readonly TypedArray[], batch: Batch): Result | undefined {
    const known = areEqual(this.#parameters, parameters) && areEqual(this.#batch, arraysOf(batch));
    return known ? this.#result : undefined;
  }

  keep(parameters: readonly TypedArray[], batch: Batch, result: Result): void {
    const arrays = arraysOf(batch);
    if (!areEqual(this.#batch, arrays)) this.#batch = arrays.map((array) => array.slice());
    this.#parameters = parameters.map((array) => array.slice());
    this.#result = result;
  }
}

function arraysOf({ inputs, targets }: Batch): TypedArray[] {
  return [inputs.data, targets.data];
}

function areEqual(one: readonly TypedArray[], other: readonly TypedArray[]): boolean {
  return one.length === other.length && one.every((array, k) => isEqual(array, other[k]));
}

function isEqual(one: TypedArray, other: TypedArray): boolean {
  if (one.length !== other.length) return false;
  for (let k = 0; k < one.length; k++) if (one[k] !== other[k]) return false;
  return true;
}
