/**
 * The inverse of λI + (1/N) SᵀS by updates with the rows of S, several at a time: with H so far and a batch B of rows
 *
 *   H ← H − U (N I + B U)⁻¹ Uᵀ,   U = H Bᵀ          H_0 = I/λ                               [Woodbury 1950; Singh20 §3.1]
 *
 * which is what as many rank-one updates H ← H − H s sᵀH / (N + sᵀH s) lead to, with the arithmetic in matrix products: H is
 * read and written once per batch instead of once per row.
 */
import { choleskySteps } from "./cholesky.ts";
import {
  borrow,
  loadLower,
  paddedOrder,
  paddedStride,
  release,
  solveRows,
  type Workspace,
} from "./kernels.ts";
import { allFinite, copyMatrix } from "./matrix.ts";
import { cooperate, finish, type Steps } from "./steps.ts";

/** Numbers in whatever array the caller keeps them. */
type NumberArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/** Rows per update. */
const BATCH = 32;
/** Multiply-adds of one call into the kernels, some two milliseconds. */
const PIECE = 1e7;

export interface RowInverseProblem {
  /** S, (M, n). */
  readonly rows: NumberArray;
  readonly order: number;
  /** N. */
  readonly samples: number;
  /** λ > 0. */
  readonly damping: number;
  /** How many times the damping may be raised after a failure. */
  readonly maxRetries: number;
  /** Where the inverse is written, (n, n). */
  readonly inverse: NumberArray;
}

/** How it ended; without a failure the inverse is written. */
export type RowInverse =
  | {
      /** The damping in the inverse: what was asked for, or more after retries. */
      readonly damping: number;
      readonly retries: number;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/**
 * Writes (λI + (1/N) SᵀS)⁻¹, full and symmetric. Where rounding makes H indefinite, the recursion starts again with ten times
 * the damping.
 */
export function rowInverse(problem: RowInverseProblem): RowInverse {
  return finish(rowInverseSteps(problem));
}

/** {@link rowInverse} that lets the event loop breathe; the rows must not change until it is done. */
export function rowInverseAsync(problem: RowInverseProblem): Promise<RowInverse> {
  return cooperate(rowInverseSteps(problem));
}

/** Addresses in a workspace. */
interface Buffers {
  readonly workspace: Workspace;
  /** H, (n, n) padded. */
  readonly h: number;
  /** B, (BATCH, n) padded, rows of zeros where fewer are left. */
  readonly b: number;
  /** −BH, (BATCH, n) padded. */
  readonly product: number;
  /** −HBᵀ, then times L⁻ᵀ, (n, BATCH). */
  readonly u: number;
  /** N I + B H Bᵀ, then its factor L, (BATCH, BATCH). */
  readonly system: number;
}

function* rowInverseSteps(problem: RowInverseProblem): Steps<RowInverse> {
  const { rows, order, samples, damping, maxRetries, inverse } = problem;
  const padded = paddedOrder(order);
  const stride = paddedStride(padded);
  const workspace = borrow((padded + 2 * BATCH) * stride + (padded + BATCH) * BATCH);
  try {
    const [h, b, product] = [padded, BATCH, BATCH].map((height) => workspace.take(height * stride));
    const [u, system] = [padded, BATCH].map((height) => workspace.take(height * BATCH));
    const buffers = { workspace, h, b, product, u, system };
    const { numbers } = workspace;
    for (let tried = damping, retries = 0; ; tried *= 10, retries++) {
      numbers.fill(0, h / 8, h / 8 + padded * stride);
      for (let k = 0; k < order; k++) numbers[h / 8 + k * (stride + 1)] = 1 / tried;
      let failure: UpdateFailure | undefined;
      for (let from = 0; from < rows.length && !failure; from += BATCH * order) {
        const batch = rows.subarray(from, from + BATCH * order);
        failure = yield* update(buffers, batch, order, samples);
      }
      if (failure === "not finite") return { failure: "the score rows are not finite" };
      if (!failure) {
        for (let row = 0; row < order; row++) {
          const start = h / 8 + row * stride;
          inverse.set(numbers.subarray(start, start + order), row * order);
        }
        return { damping: tried, retries };
      }
      if (retries === maxRetries) return { failure: "the inverse lost its positive definiteness" };
    }
  } finally {
    release(workspace);
  }
}

type UpdateFailure = "not finite" | "indefinite";

/** Takes a batch of rows into H. */
function* update(
  { workspace, h, b, product, u, system }: Buffers,
  batch: NumberArray,
  order: number,
  samples: number,
): Steps<UpdateFailure | undefined> {
  const { kernels, numbers } = workspace;
  const padded = paddedOrder(order);
  const stride = paddedStride(padded);
  const [wide, narrow] = [stride * 8, BATCH * 8];

  numbers.fill(0, b / 8, b / 8 + BATCH * stride);
  for (let row = 0; row * order < batch.length; row++) {
    numbers.set(batch.subarray(row * order, (row + 1) * order), b / 8 + row * stride);
  }
  numbers.fill(0, product / 8, product / 8 + BATCH * stride);
  yield* overColumns(padded, BATCH * padded, (from, to) =>
    kernels.subtractProducts(product, wide, b, wide, BATCH, h, wide, from, to, 0, padded),
  );

  numbers.fill(0, system / 8, system / 8 + BATCH * BATCH);
  for (let k = 0; k < BATCH; k++) numbers[system / 8 + k * (BATCH + 1)] = samples;
  kernels.subtractProducts(system, narrow, b, wide, BATCH, product, wide, 0, BATCH, 0, padded);
  const factor = numbers.slice(system / 8, system / 8 + BATCH * BATCH);
  if (!allFinite(factor)) return "not finite";
  for (let k = 0; k < BATCH; k++) if (factor[k * (BATCH + 1)] < samples) return "indefinite";
  if ((yield* choleskySteps(factor, BATCH)) !== 0) return "indefinite";
  yield* loadLower(workspace, system, factor, BATCH);

  const rowsOf = { offset: product / 8, rowStride: stride, columnStride: 1 };
  const columnsOf = { offset: u / 8, rowStride: 1, columnStride: BATCH };
  copyMatrix(numbers, rowsOf, numbers, columnsOf, 0, BATCH, padded);
  yield* solveRows(kernels, u, padded, system, BATCH, 0, BATCH);
  yield* overColumns(padded, padded * BATCH, (from, to) =>
    kernels.subtractProducts(h, wide, u, narrow, padded, u, narrow, from, to, 0, BATCH),
  );
  return undefined;
}

/** Calls `body(from, to)` for columns 0 … `count`, a multiple of four at a time, with a breath after each call. */
function* overColumns(
  count: number,
  workPerColumn: number,
  body: (from: number, to: number) => void,
): Steps<void> {
  const width = Math.max(4, Math.floor(PIECE / workPerColumn / 4) * 4);
  for (let from = 0; from < count; from += width) {
    body(from, Math.min(count, from + width));
    yield undefined;
  }
}
