/** Quadratures, random kernels and dense linear algebra that the tests of this folder compare with. */
import assert from "node:assert/strict";
import { symmetricEigen } from "../../src/linalg/index.ts";
import { Random } from "../../src/random.ts";
import { type KernelMatrix, kernelMatrix, product, transposed } from "../../src/theory/matrix.ts";

/** Asserts that numbers agree within a tolerance, relative to the largest of those expected. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = "numbers",
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-300);
  for (let k = 0; k < expected.length; k++) {
    const error = Math.abs(actual[k] - expected[k]);
    assert.ok(error <= tolerance * scale, `${what}[${k}]: ${actual[k]}, not ${expected[k]}`);
  }
}

export function randomMatrix(rows: number, columns: number, seed: number): KernelMatrix {
  const random = new Random(seed);
  return kernelMatrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => random.normal()),
  );
}

/** G Gᵀ for normal G (rows, rank), of rows more than `train`: the kernels (train, train) and (rest, train). */
export function randomKernels(train: number, test: number, rank: number, seed: number) {
  const g = randomMatrix(train + test, rank, seed);
  const whole = product(g, transposed(g));
  const columns = train + test;
  const part = (from: number, count: number) => {
    const data = Array.from({ length: count }, (_, row) => {
      return [...whole.data.subarray((from + row) * columns, (from + row) * columns + train)];
    });
    return kernelMatrix(count, train, Float64Array.from(data.flat()));
  };
  return { train: part(0, train), test: part(train, test) };
}

/** A⁺ of a symmetric matrix; eigenvalues below 1e-11 of the largest are zero. */
export function pseudoInverse(a: KernelMatrix): KernelMatrix {
  const [order] = a.shape;
  const eigen = symmetricEigen(a.data, order);
  assert.ok(eigen.failure === undefined);
  const { values, vectors } = eigen;
  const largest = Math.max(...values.map(Math.abs));
  const half = vectors.map((value, k) => {
    const own = values[k % order];
    return Math.abs(own) > 1e-11 * largest ? value / own : 0;
  });
  return product(kernelMatrix(order, order, half), transposed(kernelMatrix(order, order, vectors)));
}

/** A ⊗ B. */
export function kronecker(a: KernelMatrix, b: KernelMatrix): KernelMatrix {
  const [rows, columns] = a.shape;
  const [height, width] = b.shape;
  const result = kernelMatrix(rows * height, columns * width);
  for (let i = 0; i < rows * height; i++) {
    for (let j = 0; j < columns * width; j++) {
      const left = a.data[Math.floor(i / height) * columns + Math.floor(j / width)];
      result.data[i * columns * width + j] = left * b.data[(i % height) * width + (j % width)];
    }
  }
  return result;
}

/** The matrices along the diagonal of a larger one. */
export function blockDiagonal(blocks: readonly KernelMatrix[]): KernelMatrix {
  const rows = blocks.reduce((sum, { shape }) => sum + shape[0], 0);
  const columns = blocks.reduce((sum, { shape }) => sum + shape[1], 0);
  const result = kernelMatrix(rows, columns);
  let [row, column] = [0, 0];
  for (const { shape, data } of blocks) {
    for (let i = 0; i < shape[0]; i++) {
      result.data.set(data.subarray(i * shape[1], (i + 1) * shape[1]), (row + i) * columns + column);
    }
    row += shape[0];
    column += shape[1];
  }
  return result;
}

export function identity(order: number): KernelMatrix {
  const result = kernelMatrix(order, order);
  for (let k = 0; k < order; k++) result.data[k * (order + 1)] = 1;
  return result;
}

/** Σ of a pattern as a matrix. */
export function tridiagonal(layers: number): KernelMatrix {
  const data = Float64Array.from({ length: layers * layers }, (_, k) =>
    Math.abs(Math.floor(k / layers) - (k % layers)) <= 1 ? 1 : 0,
  );
  return kernelMatrix(layers, layers, data);
}

/** Nodes and weights of Gauss and Legendre on [from, to]. */
export function gaussLegendre(count: number, from: number, to: number): { x: number; weight: number }[] {
  return Array.from({ length: count }, (_, i) => {
    let x = Math.cos((Math.PI * (i + 0.75)) / (count + 0.5));
    let slope = 0;
    for (let round = 0; round < 100; round++) {
      let [before, own] = [1, x];
      for (let n = 2; n <= count; n++) [before, own] = [own, ((2 * n - 1) * x * own - (n - 1) * before) / n];
      slope = (count * (x * own - before)) / (x * x - 1);
      const step = own / slope;
      x -= step;
      if (Math.abs(step) < 1e-16) break;
    }
    const half = (to - from) / 2;
    return { x: from + half * (1 + x), weight: (2 * half) / ((1 - x * x) * slope * slope) };
  });
}

/**
 * E[g(u)g(u')] of a g that is homogeneous on both sides of zero, degree 0 or 1: polar coordinates, split where u or u' changes
 * sign, so that the integrand is smooth on every arc.
 */
export function polarExpectation(
  g: (u: number) => number,
  degree: 0 | 1,
  q: number,
  other: number,
  c: number,
): number {
  const sine = Math.sqrt((1 - c) * (1 + c));
  const first = (angle: number) => Math.sqrt(q) * Math.cos(angle);
  const second = (angle: number) => Math.sqrt(other) * (c * Math.cos(angle) + sine * Math.sin(angle));
  const turn = Math.atan2(-c, sine);
  const breaks = [-Math.PI / 2, Math.PI / 2, turn, turn + Math.PI, turn - Math.PI]
    .map((angle) => (angle < -Math.PI / 2 ? angle + 2 * Math.PI : angle))
    .concat(1.5 * Math.PI)
    .filter((angle) => angle <= 1.5 * Math.PI)
    .sort((a, b) => a - b);
  let radial = 0;
  for (const { x, weight } of gaussLegendre(96, 0, 14)) {
    radial += weight * x ** (2 * degree + 1) * Math.exp((-x * x) / 2);
  }
  let angular = 0;
  for (let k = 1; k < breaks.length; k++) {
    for (const { x, weight } of gaussLegendre(24, breaks[k - 1], breaks[k])) {
      angular += weight * g(first(x)) * g(second(x));
    }
  }
  return (radial * angular) / (2 * Math.PI);
}

/** E[g(u)g(u')] of an entire function g: the trapezoidal rule on a grid, whose error falls exponentially with 1/step². */
export function gridExpectation(g: (u: number) => number, q: number, other: number, c: number): number {
  const step = 0.1;
  const sine = Math.sqrt((1 - c) * (1 + c));
  let sum = 0;
  for (let i = -90; i <= 90; i++) {
    const z = i * step;
    const own = g(Math.sqrt(q) * z) * Math.exp((-z * z) / 2);
    for (let j = -90; j <= 90; j++) {
      const w = j * step;
      sum += own * g(Math.sqrt(other) * (c * z + sine * w)) * Math.exp((-w * w) / 2);
    }
  }
  return (sum * step * step) / (2 * Math.PI);
}

/** erf x by its series of positive terms, (2/√π) e^(−x²) Σ 2ⁿx^(2n+1)/(2n+1)!!. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const reluOf = (u: number) => Math.max(0, u);
export const stepOf = (u: number) => (u > 0 ? 1 : 0);
export const erfSlope = (u: number) => (2 / Math.sqrt(Math.PI)) * Math.exp(-u * u);

/** A dual activation by quadrature, in place of {@link dualActivation}. */
export const quadratures = {
  relu: {
    covariance: (q: number, other: number, c: number) => polarExpectation(reluOf, 1, q, other, c),
    derivative: (q: number, other: number, c: number) => polarExpectation(stepOf, 0, q, other, c),
  },
  erf: {
    covariance: (q: number, other: number, c: number) => gridExpectation(erf, q, other, c),
    derivative: (q: number, other: number, c: number) => gridExpectation(erfSlope, q, other, c),
  },
};
