/** Dense float64 references: the whole Fisher matrix, cut to a structure, solved by elimination. */
import assert from "node:assert/strict";
import { type NamedTensors, sizeOf, type Tensor } from "../../src/tensor.ts";

/** A matrix by rows. */
export type Matrix = readonly Float64Array[];

/** Where each layer's [W b], row-major, lies in a flat vector of all parameters. */
export interface Layout {
  readonly size: number;
  readonly layers: readonly {
    readonly name: string;
    readonly start: number;
    readonly end: number;
    readonly rows: number;
    readonly columns: number;
    readonly bias: boolean;
  }[];
}

export function layoutOf(parameters: NamedTensors): Layout {
  let start = 0;
  const layers = [...parameters]
    .filter(([name]) => name.endsWith(".weight"))
    .map(([weight, { shape }]) => {
      const name = weight.slice(0, -".weight".length);
      const bias = parameters.has(`${name}.bias`);
      const [rows, ...rest] = shape;
      const features = sizeOf(rest);
      const columns = features + (bias ? 1 : 0);
      const from = start;
      start += rows * columns;
      return { name, start: from, end: start, rows, columns, bias };
    });
  return { size: start, layers };
}

/** All parameters in one vector, layer by layer, row-major in [W b]. */
export function flatten(layout: Layout, named: NamedTensors): Float64Array {
  const flat = new Float64Array(layout.size);
  for (const { name, start, rows, columns, bias } of layout.layers) {
    const features = columns - (bias ? 1 : 0);
    for (let o = 0; o < rows; o++) {
      for (let i = 0; i < features; i++) {
        flat[start + o * columns + i] = named.get(`${name}.weight`)!.data[o * features + i];
      }
      if (bias) flat[start + o * columns + features] = named.get(`${name}.bias`)!.data[o];
    }
  }
  return flat;
}

/** The inverse of {@link flatten}. */
export function unflatten(layout: Layout, flat: Float64Array): NamedTensors {
  const named: NamedTensors = new Map();
  for (const { name, start, rows, columns, bias } of layout.layers) {
    const features = columns - (bias ? 1 : 0);
    const weight = new Float64Array(rows * features);
    for (let k = 0; k < weight.length; k++) {
      weight[k] = flat[start + Math.floor(k / features) * columns + (k % features)];
    }
    named.set(`${name}.weight`, { shape: [rows, features], data: weight });
    if (!bias) continue;
    const biases = Float64Array.from({ length: rows }, (_, o) => flat[start + o * columns + features]);
    named.set(`${name}.bias`, { shape: [rows], data: biases });
  }
  return named;
}

export type StructureName =
  | "full"
  | "block-diagonal"
  | "block-tridiagonal"
  | "unit-wise"
  | "diagonal"
  | "quasi-diagonal";

/** F cut to a structure, (P, P); the quasi-diagonal's cut depends on the damping that is going to be added. */
export function project(
  { shape, data }: Tensor,
  layout: Layout,
  structure: StructureName,
  damping = 0,
): Matrix {
  const [size] = shape;
  assert.equal(size, layout.size);
  const places = layout.layers.flatMap(({ start, rows, columns, bias }, layer) =>
    Array.from({ length: rows * columns }, (_, k) => {
      const unit = start + columns * Math.floor(k / columns);
      return { layer, unit, bias: bias ? unit + columns - 1 : undefined };
    }),
  );
  const element = (i: number, j: number): number => {
    const [row, column] = [places[i], places[j]];
    const value = data[i * size + j];
    switch (structure) {
      case "full":
        return value;
      case "block-diagonal":
        return row.layer === column.layer ? value : 0;
      case "block-tridiagonal":
        return Math.abs(row.layer - column.layer) <= 1 ? value : 0;
      case "unit-wise":
        return row.unit === column.unit ? value : 0;
      case "diagonal":
        return i === j ? value : 0;
      case "quasi-diagonal": {
        const corner = row.bias;
        if (row.unit !== column.unit || corner === undefined) return i === j ? value : 0;
        if (i === j || i === corner || j === corner) return value;
        // What the bias explains of two weights' coupling.
        return (data[i * size + corner] * data[corner * size + j]) / (data[corner * size + corner] + damping);
      }
    }
  };
  return Array.from({ length: size }, (_, i) => Float64Array.from({ length: size }, (_, j) => element(i, j)));
}

/** (A + shift·I)⁻¹ b by elimination with partial pivoting. */
export function solve(matrix: Matrix, b: Float64Array, shift = 0): Float64Array {
  const n = b.length;
  const a = matrix.map((row, i) => {
    const copy = Float64Array.from([...row, b[i]]);
    copy[i] += shift;
    return copy;
  });
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column + 1; row < n; row++) {
      if (Math.abs(a[row][column]) > Math.abs(a[pivot][column])) pivot = row;
    }
    [a[column], a[pivot]] = [a[pivot], a[column]];
    for (let row = column + 1; row < n; row++) {
      const factor = a[row][column] / a[column][column];
      for (let k = column; k <= n; k++) a[row][k] -= factor * a[column][k];
    }
  }
  const x = new Float64Array(n);
  for (let row = n - 1; row >= 0; row--) {
    x[row] = a[row][n];
    for (let k = row + 1; k < n; k++) x[row] -= a[row][k] * x[k];
    x[row] /= a[row][row];
  }
  return x;
}

export function product(matrix: Matrix, x: Float64Array): Float64Array {
  return Float64Array.from(matrix, (row) => dot(row, x));
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let k = 0; k < a.length; k++) total += a[k] * b[k];
  return total;
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeDistance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  const difference = Float64Array.from(expected, (value, k) => actual[k] - value);
  const norm = Math.sqrt(dot(expected, expected));
  return Math.sqrt(dot(difference, difference)) / (norm || 1);
}

export function assertNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  message: string,
): void {
  const error = relativeDistance(actual, expected);
  assert.ok(error < tolerance, `${message}: relative error ${error}`);
}
