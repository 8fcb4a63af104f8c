/** Plain-JavaScript tensors in float64, as a reference for what the compiled graphs compute: slow, short and obvious. */
import { sizeOf } from "../../src/tensor.ts";

export interface Dense {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function dense(data: ArrayLike<number>, shape: readonly number[]): Dense {
  return { shape, data: Float64Array.from(data) };
}

/** The tensor whose element at each index is `element(index)`. */
export function generate(shape: readonly number[], element: (index: readonly number[]) => number): Dense {
  const data = Float64Array.from({ length: sizeOf(shape) }, (_, position) => {
    const index = Array.from(shape, () => 0);
    let rest = position;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    return element(index);
  });
  return { shape, data };
}

/** The element at an index; axes of size 1 and missing leading axes repeat, as in broadcasting. */
export function at({ shape, data }: Dense, index: readonly number[]): number {
  const offset = index.length - shape.length;
  return data[shape.reduce((sum, size, axis) => sum * size + (size === 1 ? 0 : index[axis + offset]), 0)];
}

export function broadcastShape(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

export function elementwise(element: (...values: number[]) => number, ...operands: Dense[]): Dense {
  return generate(broadcastShape(...operands.map(({ shape }) => shape)), (index) =>
    element(...operands.map((operand) => at(operand, index))),
  );
}

/** Reduces `axes` (all by default) by a function of the list of elements. */
export function reduce(
  x: Dense,
  combine: (values: number[]) => number,
  axes?: readonly number[],
  keepDims = false,
): Dense {
  const rank = x.shape.length;
  const reduced = x.shape.map((_, axis) => !axes || axes.includes(axis) || axes.includes(axis - rank));
  const kept = x.shape.map((size, axis) => (reduced[axis] ? 1 : size));
  const groups = new Map<string, number[]>();
  generate(x.shape, (index) => {
    const key = index.map((k, axis) => (reduced[axis] ? 0 : k)).join();
    groups.set(key, [...(groups.get(key) ?? []), at(x, index)]);
    return 0;
  });
  const { data } = generate(kept, (index) => combine(groups.get(index.join())!));
  return { shape: keepDims ? kept : x.shape.filter((_, axis) => !reduced[axis]), data };
}

export const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

export function transpose(x: Dense, permutation: readonly number[]): Dense {
  const shape = permutation.map((axis) => x.shape[axis]);
  return generate(shape, (index) => {
    const source = x.shape.map((_, axis) => index[permutation.indexOf(axis)]);
    return at(x, source);
  });
}

export function swapLastTwo(x: Dense): Dense {
  const rank = x.shape.length;
  const axes = x.shape.map((_, axis) => axis);
  return transpose(x, [...axes.slice(0, -2), rank - 1, rank - 2]);
}

export function matmul(a: Dense, b: Dense, transposeA = false, transposeB = false): Dense {
  const left = transposeA ? swapLastTwo(a) : a;
  const right = transposeB ? swapLastTwo(b) : b;
  const batch = broadcastShape(left.shape.slice(0, -2), right.shape.slice(0, -2));
  const inner = left.shape[left.shape.length - 1];
  const rows = left.shape[left.shape.length - 2];
  const columns = right.shape[right.shape.length - 1];
  return generate([...batch, rows, columns], (index) => {
    const outer = index.slice(0, -2);
    const [row, column] = index.slice(-2);
    const terms = Array.from(
      { length: inner },
      (_, k) => at(left, [...outer, row, k]) * at(right, [...outer, k, column]),
    );
    return total(terms);
  });
}

/** The part of x from `starts` on, of a given shape; zero outside x. */
export function window(x: Dense, starts: readonly number[], shape: readonly number[]): Dense {
  return generate(shape, (index) => {
    const source = index.map((k, axis) => k + starts[axis]);
    return source.every((k, axis) => k >= 0 && k < x.shape[axis]) ? at(x, source) : 0;
  });
}

export function concatenate(parts: readonly Dense[], axis: number): Dense {
  const owners = parts.flatMap((part) =>
    Array.from({ length: part.shape[axis] }, (_, k) => [part, k] as const),
  );
  const shape = parts[0].shape.map((size, k) => (k === axis ? owners.length : size));
  return generate(shape, (index) => {
    const [part, position] = owners[index[axis]];
    return at(
      part,
      index.map((k, other) => (other === axis ? position : k)),
    );
  });
}

const SCALE = 200n;
/** 2/√π to 60 digits. */
const TWO_OVER_SQRT_PI =
  (1128379167095512573896158903121545171688101258657997713688171n << SCALE) / 10n ** 60n;

/** erf by its Taylor series in fixed point with 200 bits: exact to rounding for 1e-12 < |x| < 8. */
export function erf(x: number): number {
  const fixed = BigInt(x * 2 ** 100) << (SCALE - 100n);
  const square = (fixed * fixed) >> SCALE;
  let term = fixed;
  let sum = 0n;
  for (let n = 0n; term !== 0n && term !== -1n; term = ((-term * square) >> SCALE) / ++n) {
    sum += term / (2n * n + 1n);
  }
  return Number((sum * TWO_OVER_SQRT_PI) >> (2n * SCALE - 100n)) / 2 ** 100;
}

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
};
