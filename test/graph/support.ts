/** What the graph's tests share: compiled computations fed with plain numbers, comparison, finite differences. */
import assert from "node:assert/strict";
import type { NamedOutputs, SymbolicTensor } from "../../src/graph/index.ts";
import { compile, type Program } from "../../src/runtime/program.ts";
import type { Binding, Runtime } from "../../src/runtime/session.ts";
import { allocate, sizeOf, type TypedArray } from "../../src/tensor.ts";
import { type Dense, dense } from "./reference.ts";

export type Values = Readonly<Record<string, ArrayLike<number>>>;

/** A compiled computation with arrays of its own. */
export class Evaluator {
  readonly #program: Program;
  readonly #feeds: Readonly<Record<string, TypedArray>>;
  readonly #fetches: Readonly<Record<string, TypedArray>>;
  readonly #binding: Binding;

  private constructor(program: Program) {
    const arrays = (values: Program["inputs"]) =>
      Object.fromEntries(values.map(({ name, dtype, shape }) => [name, allocate(dtype, sizeOf(shape))]));
    this.#program = program;
    this.#feeds = arrays(program.inputs);
    this.#fetches = arrays(program.outputs);
    this.#binding = program.bind(this.#feeds, this.#fetches);
  }

  static async compile(runtime: Runtime, outputs: NamedOutputs): Promise<Evaluator> {
    return new Evaluator(await compile(runtime, outputs));
  }

  /** Values of inputs that the computation does not need are passed over. */
  async run(values: Values): Promise<Record<string, Dense>> {
    for (const [name, array] of Object.entries(this.#feeds)) array.set(values[name]);
    await this.#binding.run();
    const results = this.#program.outputs.map(({ name, shape }) => [name, dense(this.#fetches[name], shape)]);
    return Object.fromEntries(results) as Record<string, Dense>;
  }

  dispose(): void {
    this.#binding.dispose();
    this.#program.dispose();
  }
}

/** Compiles, runs once and releases; results by the names of the outputs. */
export async function run(runtime: Runtime, outputs: NamedOutputs, values: Values = {}) {
  const evaluator = await Evaluator.compile(runtime, outputs);
  try {
    return await evaluator.run(values);
  } finally {
    evaluator.dispose();
  }
}

/** Runs once and returns the elements of a list of tensors. */
export async function valuesOf(
  runtime: Runtime,
  tensors: readonly SymbolicTensor[],
  values: Values = {},
): Promise<number[][]> {
  const named = tensors.map((tensor, k) => [`output ${k}`, tensor]);
  const results = await run(runtime, Object.fromEntries(named) as NamedOutputs, values);
  return tensors.map((_, k) => [...results[`output ${k}`].data]);
}

/** Asserts |actual − expected| ≤ relative · max |expected| + absolute, element by element. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  message: string,
  { relative = 1e-12, absolute = 1e-14 } = {},
): void {
  assert.equal(actual.length, expected.length, `${message}: number of elements`);
  const scale = Array.from(expected).reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  for (let k = 0; k < expected.length; k++) {
    const error = Math.abs(actual[k] - expected[k]);
    const fits = error <= relative * scale + absolute || Object.is(actual[k], expected[k]);
    assert.ok(fits, `${message}: element ${k} is ${actual[k]}, expected ${expected[k]} (off by ${error})`);
  }
}

/** Central differences of fourth order: truncation 1e-13 and rounding 1e-12 for functions of order one. */
const STEP = 2e-3;
const STENCIL = [
  [-2, 1 / 12],
  [-1, -2 / 3],
  [1, 2 / 3],
  [2, -1 / 12],
] as const;

/** d/dt f(x + t·direction) at t = 0, for a vector-valued f. */
export async function directionalDifference(
  f: (x: Float64Array) => Promise<ArrayLike<number>>,
  x: Float64Array,
  direction: ArrayLike<number>,
): Promise<Float64Array> {
  let result: Float64Array | undefined;
  for (const [steps, weight] of STENCIL) {
    const moved = x.map((value, k) => value + steps * STEP * direction[k]);
    const values = await f(moved);
    result ??= new Float64Array(values.length);
    for (let k = 0; k < values.length; k++) result[k] += (weight / STEP) * values[k];
  }
  return result!;
}

/** Jacobian rows by coordinate: `result[j]` is ∂f/∂x_j. */
export async function differences(
  f: (x: Float64Array) => Promise<ArrayLike<number>>,
  x: Float64Array,
): Promise<Float64Array[]> {
  const columns: Float64Array[] = [];
  for (let j = 0; j < x.length; j++) {
    const unit = new Float64Array(x.length);
    unit[j] = 1;
    columns.push(await directionalDifference(f, x, unit));
  }
  return columns;
}
