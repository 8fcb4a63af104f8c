/** Muon, Shampoo and SOAP in plain loops over float64 rows: what the traced methods are compared with. */

export type Rows = number[][];

export const zeros = (rows: number, columns: number): Rows =>
  Array.from({ length: rows }, () => new Array<number>(columns).fill(0));

export const identity = (n: number): Rows =>
  zeros(n, n).map((row, i) => row.map((_, j) => (i === j ? 1 : 0)));

export const transpose = (a: Rows): Rows => a[0].map((_, j) => a.map((row) => row[j]));

export const product = (a: Rows, b: Rows): Rows =>
  a.map((row) => b[0].map((_, j) => row.reduce((total, value, k) => total + value * b[k][j], 0)));

/** Σ factor·matrix. */
export const combine = (...terms: [number, Rows][]): Rows =>
  terms[0][1].map((row, i) =>
    row.map((_, j) => terms.reduce((total, [factor, a]) => total + factor * a[i][j], 0)),
  );

export const map = (a: Rows, body: (value: number, i: number, j: number) => number): Rows =>
  a.map((row, i) => row.map((value, j) => body(value, i, j)));

export const norm = (a: Rows): number => Math.hypot(...a.flat());

/** Eigenvalues and eigenvectors (columns) by Jacobi rotations, descending. */
export function eigen(a: Rows): { values: number[]; vectors: Rows } {
  const n = a.length;
  const m = a.map((row) => [...row]);
  const v = identity(n);
  for (let sweep = 0; sweep < 60; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (m[p][q] === 0) continue;
        const theta = 0.5 * Math.atan2(2 * m[p][q], m[q][q] - m[p][p]);
        const [c, s] = [Math.cos(theta), Math.sin(theta)];
        for (const rows of [m, v]) {
          for (const row of rows) [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
        }
        for (let k = 0; k < n; k++)
          [m[p][k], m[q][k]] = [c * m[p][k] - s * m[q][k], s * m[p][k] + c * m[q][k]];
      }
    }
  }
  const order = m.map((_, i) => i).sort((i, j) => m[j][j] - m[i][i]);
  return { values: order.map((i) => m[i][i]), vectors: v.map((row) => order.map((i) => row[i])) };
}

/** (A + εI)^(−power). */
export function inverseRoot(a: Rows, epsilon: number, power: number): Rows {
  const { values, vectors } = eigen(a);
  const scaled = map(vectors, (value, _, j) => value * (Math.max(0, values[j]) + epsilon) ** -power);
  return product(scaled, transpose(vectors));
}

/** Orthonormal columns by modified Gram-Schmidt, twice. */
export function orthonormalColumns(a: Rows): Rows {
  const columns = transpose(a).map((column) => [...column]);
  for (const [k, column] of columns.entries()) {
    for (let pass = 0; pass < 2; pass++) {
      for (const other of columns.slice(0, k)) {
        const share = column.reduce((total, value, i) => total + value * other[i], 0);
        for (let i = 0; i < column.length; i++) column[i] -= share * other[i];
      }
    }
    const length = Math.hypot(...column);
    for (let i = 0; i < column.length; i++) column[i] /= length;
  }
  return transpose(columns);
}

/** Newton-Schulz as the authors write it: a tall matrix is transposed and back. */
export function newtonSchulz(u: Rows, iterations: number): Rows {
  if (u.length > u[0].length) return transpose(newtonSchulz(transpose(u), iterations));
  const length = norm(u) + 1e-7;
  let x = map(u, (value) => value / length);
  for (let k = 0; k < iterations; k++) {
    const a = product(x, transpose(x));
    const b = combine([-4.775, a], [2.0315, product(a, a)]);
    x = combine([3.4445, x], [1, product(b, x)]);
  }
  return x;
}
