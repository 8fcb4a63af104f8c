/**
 * The embedded eigendecomposition: A = Q T Qᵀ by Householder reflections, T = S Λ Sᵀ by implicit QL, V = Q S.
 *
 * EISPACK's tred2 and imtql2 (Wilkinson & Reinsch, Handbook for Automatic Computation II, 1971, II/2 and II/4); Golub & Van
 * Loan, 4th ed., §8.3.
 *
 * differs from EISPACK: the QL sweeps, which are short, run first on the tridiagonal numbers alone and write down their
 * plane rotations; these are then applied, many sweeps at a time, to panels of eight rows of V, which fit the cache (Van
 * Zee, van de Geijn & Quintana-Ortí 2014, Restructuring the tridiagonal and bidiagonal QR algorithms, ACM TOMS 40:18).
 *
 * | paper | variable    | shape                                                        |
 * | ----- | ----------- | ------------------------------------------------------------ |
 * | A     | a           | (n, n), lower triangle; its rows become the reflectors        |
 * | d, e  | diagonal, offDiagonal | (n); offDiagonal[i] couples i and i + 1             |
 * | V     | panels      | ⌈n / 8⌉ panels of (n, 8): eight rows of V, column by column   |
 */
import { borrow, paddedOrder, paddedStride, release, type Workspace } from "./kernels.ts";
import { overRows, type Steps } from "./steps.ts";

/** QL needs fewer than two sweeps a value on average; this many for a single one means it will not end. */
const MAX_SWEEPS = 60;
/** Rotations written down before they are applied: 256 KiB. */
const BATCH = 16384;
const PANEL = 8;
/** Elements of A or of a panel that are gone through between two places to breathe. */
const PIECE = 2e6;

type Decomposition =
  | { readonly values: Float64Array; readonly vectors: Float64Array }
  | { readonly failure: string };

/** @param scale the largest magnitude in the lower triangle of `a`, finite */
export function* decomposeTridiagonally(a: Float64Array, n: number, scale: number): Steps<Decomposition> {
  // Scaled by a power of two to at most 1, squares neither overflow nor lose anything that matters.
  const exponent = scale === 0 ? 0 : Math.max(-1021, Math.min(1021, Math.floor(Math.log2(scale))));
  const stride = paddedStride(paddedOrder(n + 2));
  const panelCount = Math.ceil(n / PANEL);
  const batch = Math.max(BATCH, n);
  const workspace = borrow(n * stride + panelCount * PANEL * n + 8 * stride + 3 * batch + 64);
  try {
    const matrix = workspace.take(n * stride);
    const panels = workspace.take(panelCount * PANEL * n);
    const reduced = yield* reduce(workspace, matrix, stride, a, n, 2 ** -exponent);
    const { diagonal, offDiagonal, heights } = reduced;
    const { kernels, numbers } = workspace;

    // V := Q, panel by panel from the identity.
    const panelBytes = PANEL * n * 8;
    const reflectors = Math.ceil(PIECE / (PANEL * n));
    for (let panel = 0; panel < panelCount; panel++) {
      const address = panels + panel * panelBytes;
      numbers.fill(0, address / 8, address / 8 + PANEL * n);
      for (let row = panel * PANEL; row < Math.min(n, (panel + 1) * PANEL); row++) {
        numbers[address / 8 + row * PANEL + (row % PANEL)] = 1;
      }
      for (let from = n - 1; from > 1; from -= reflectors) {
        const to = Math.max(2, from - reflectors + 1);
        kernels.reflectPanel(address, matrix, stride * 8, from, to, heights);
        yield undefined;
      }
    }

    // V := V S, a batch of rotations at a time.
    const rotations = workspace.take(2 * batch);
    const sweeps = workspace.take(batch);
    const ql = new ImplicitQl(diagonal, offDiagonal);
    while (!ql.done) {
      const count = ql.sweep(
        numbers,
        rotations / 8,
        new Int32Array(numbers.buffer, sweeps, 2 * batch),
        batch,
      );
      if (ql.failed) return { failure: `an eigenvalue did not converge in ${MAX_SWEEPS} sweeps` };
      for (let panel = 0; panel < panelCount && count > 0; panel++) {
        kernels.rotatePanel(panels + panel * panelBytes, sweeps, count, rotations);
        yield undefined;
      }
    }
    return yield* gather(numbers, panels / 8, diagonal, n, 2 ** exponent);
  } finally {
    release(workspace);
  }
}

/** A = Q T Qᵀ: the reflectors are left in the rows at `matrix`, their heights at the address returned. */
function* reduce(
  workspace: Workspace,
  matrix: number,
  stride: number,
  a: Float64Array,
  n: number,
  factor: number,
): Steps<{ diagonal: Float64Array; offDiagonal: Float64Array; heights: number }> {
  const { kernels, numbers } = workspace;
  const q = workspace.take(2 * stride);
  const [diagonal, offDiagonal, heights] = [0, 1, 2].map(() => workspace.take(stride));
  numbers.fill(0, q / 8, q / 8 + 2 * stride);
  yield* overRows(n, n, (from, to) => {
    for (let row = from; row < to; row++) {
      const target = matrix / 8 + row * stride;
      for (let column = 0; column <= row; column++) numbers[target + column] = a[row * n + column] * factor;
      numbers.fill(0, target + row + 1, target + stride);
    }
  });
  for (let row = n - 1; row >= 0; ) {
    const last = Math.max(0, row - Math.ceil(PIECE / ((row + 8) * (row + 8))));
    kernels.reduceRows(matrix, stride * 8, n, row, last, q, diagonal, offDiagonal, heights);
    yield undefined;
    row = last - 1;
  }
  const read = (address: number, from: number) => {
    const vector = new Float64Array(n);
    vector.set(numbers.subarray(address / 8 + from, address / 8 + n));
    return vector;
  };
  return { diagonal: read(diagonal, 0), offDiagonal: read(offDiagonal, 1), heights };
}

/** The QL algorithm with implicit shifts on a tridiagonal matrix, one batch of sweeps after the other. */
class ImplicitQl {
  /** Index of the value being isolated; all before it are eigenvalues. */
  #low = 0;
  #sweepsForThis = 0;
  failed = false;
  readonly #d: Float64Array;
  readonly #e: Float64Array;

  constructor(diagonal: Float64Array, offDiagonal: Float64Array) {
    this.#d = diagonal;
    this.#e = offDiagonal;
  }

  get done(): boolean {
    return this.failed || this.#low >= this.#d.length;
  }

  /**
   * Sweeps until the batch is full or all is done; returns how many (low, high) pairs it wrote to `sweeps`. The
   * rotations of a sweep, from the pair (high − 1, high) down, go to `rotations` as (cosine, sine).
   */
  sweep(rotations: Float64Array, start: number, sweeps: Int32Array, batch: number): number {
    const d = this.#d;
    const e = this.#e;
    const n = d.length;
    let count = 0;
    let next = start;
    while (this.#low < n) {
      const low = this.#low;
      let high = low;
      while (
        high < n - 1 &&
        Math.abs(e[high]) > Number.EPSILON * (Math.abs(d[high]) + Math.abs(d[high + 1]))
      ) {
        high++;
      }
      if (high === low) {
        this.#low++;
        this.#sweepsForThis = 0;
        continue;
      }
      if ((next - start) / 2 + high - low > batch) break;
      if (++this.#sweepsForThis > MAX_SWEEPS) {
        this.failed = true;
        return count;
      }
      // Wilkinson's shift, from the leading 2 × 2 block.
      const half = (d[low + 1] - d[low]) / (2 * e[low]);
      const root = hypotenuse(half, 1);
      let g = d[high] - d[low] + e[low] / (half + (half < 0 ? -root : root));
      let sine = 1;
      let cosine = 1;
      let p = 0;
      let index = high - 1;
      for (; index >= low; index--) {
        const f = sine * e[index];
        const b = cosine * e[index];
        const r = hypotenuse(f, g);
        e[index + 1] = r;
        if (r === 0) break;
        sine = f / r;
        cosine = g / r;
        g = d[index + 1] - p;
        const t = (d[index] - g) * sine + 2 * cosine * b;
        p = sine * t;
        d[index + 1] = g + p;
        g = cosine * t - b;
        rotations[next++] = cosine;
        rotations[next++] = sine;
      }
      sweeps[2 * count] = index + 1;
      sweeps[2 * count + 1] = high;
      count++;
      if (index >= low) {
        // The rotation vanished: the matrix splits here.
        d[index + 1] -= p;
      } else {
        d[low] -= p;
        e[low] = g;
      }
      e[high] = 0;
    }
    return count;
  }
}

/** √(a² + b²); the numbers are at most about 1, so that only underflow needs care. */
function hypotenuse(a: number, b: number): number {
  const square = a * a + b * b;
  return square > 1e-280 && square < 1e280 ? Math.sqrt(square) : Math.hypot(a, b);
}

/** Values ascending, and V out of its panels with the columns in the same order. */
function* gather(
  numbers: Float64Array,
  panels: number,
  diagonal: Float64Array,
  n: number,
  factor: number,
): Steps<Decomposition> {
  const order = Int32Array.from({ length: n }, (_, index) => index).sort(
    (left, right) => diagonal[left] - diagonal[right],
  );
  const vectors = new Float64Array(n * n);
  yield* overRows(n, n, (from, to) => {
    for (let row = from; row < to; row++) {
      const source = panels + Math.floor(row / PANEL) * PANEL * n + (row % PANEL);
      for (let column = 0; column < n; column++)
        vectors[row * n + column] = numbers[source + order[column] * PANEL];
    }
  });
  const values = Float64Array.from(order, (index) => diagonal[index] * factor);
  return { values, vectors };
}
