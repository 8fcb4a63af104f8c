/**
 * The WebAssembly kernels of the embedded path and the memory they work in.
 *
 * A kernel sees only the memory of its own instance, so matrices are copied in and out (2 n² numbers of traffic against
 * n³/3 operations). Instances are lent out: whoever holds a {@link Workspace} has it alone, also across the pauses of
 * an asynchronous algorithm.
 */
import { KERNELS_BASE64 } from "./kernels.generated.ts";
import { copyMatrix } from "./matrix.ts";
import { overRows, type Steps } from "./steps.ts";

/** What src/linalg/wasm exports; addresses and strides in bytes, everything else in elements. */
export interface Kernels {
  readonly memory: WebAssembly.Memory;
  factorBlock(a: number, stride: number, from: number, to: number): number;
  solveRows(
    x: number,
    strideX: number,
    rows: number,
    l: number,
    strideL: number,
    start: number,
    from: number,
    to: number,
  ): void;
  subtractProducts(
    c: number,
    strideC: number,
    x: number,
    strideX: number,
    rows: number,
    y: number,
    strideY: number,
    from: number,
    to: number,
    start: number,
    end: number,
  ): void;
  reduceRows(
    a: number,
    stride: number,
    order: number,
    from: number,
    to: number,
    q: number,
    diagonal: number,
    offDiagonal: number,
    heights: number,
  ): void;
  reflectPanel(panel: number, a: number, stride: number, from: number, to: number, heights: number): void;
  rotatePanel(panel: number, sweeps: number, count: number, rotations: number): void;
}

/** Instances that outgrew this many bytes are dropped after use, for WebAssembly memory never shrinks. */
const KEPT_BYTES = 64 * 2 ** 20;
/** Idle instances kept; more exist only while more asynchronous algorithms run at once. */
const KEPT_INSTANCES = 2;
const PAGE = 65536;
const idle: Workspace[] = [];
let compiled: WebAssembly.Module | undefined;

/** One instance of the kernels with its memory, cut from the front by {@link take}. */
export class Workspace {
  readonly kernels: Kernels;
  /** All of the memory as numbers: the number at an address is `numbers[address / 8]`. */
  numbers: Float64Array;
  #used = 0;

  constructor() {
    compiled ??= new WebAssembly.Module(Uint8Array.from(atob(KERNELS_BASE64), (byte) => byte.charCodeAt(0)));
    this.kernels = new WebAssembly.Instance(compiled).exports as unknown as Kernels;
    this.numbers = new Float64Array(this.kernels.memory.buffer);
  }

  /** Makes room for `count` numbers; everything taken before is given back. */
  reserve(count: number): void {
    const missing = Math.ceil((count * 8) / PAGE) + 1 - this.numbers.length / (PAGE / 8);
    if (missing > 0) {
      try {
        this.kernels.memory.grow(missing);
      } catch {
        const needed = ((count * 8) / 2 ** 30).toFixed(1);
        throw new RangeError(
          `not enough memory: ${needed} GiB needed, 4 GiB at most without LAPACK; install OpenBLAS for larger matrices`,
        );
      }
      this.numbers = new Float64Array(this.kernels.memory.buffer);
    }
    this.#used = 64;
  }

  /** The address of `count` fresh numbers (not zeroed), on a cache line of its own. */
  take(count: number): number {
    const address = this.#used;
    this.#used += Math.ceil(count / 8) * 64;
    return address;
  }
}

/** Lends a workspace with room for `count` numbers; give it back with {@link release}. */
export function borrow(count: number): Workspace {
  const workspace = idle.pop() ?? new Workspace();
  workspace.reserve(count + 256);
  return workspace;
}

export function release(workspace: Workspace): void {
  if (idle.length < KEPT_INSTANCES && workspace.numbers.byteLength <= KEPT_BYTES) idle.push(workspace);
}

/** The order of a padded matrix: the kernels take four columns at a time. */
export function paddedOrder(n: number): number {
  return Math.ceil(n / 4) * 4;
}

/** Numbers from row to row of a padded matrix; powers of two would put a column into a handful of cache sets. */
export function paddedStride(order: number): number {
  return order % 256 === 0 ? order + 8 : order;
}

/**
 * Copies the lower triangle of `a` (n × n) to `address`, bordered by the identity up to the padded order; what lies above
 * the diagonal is unspecified. `flipped` copies J aᵀ J instead, J the exchange matrix: lower triangular again.
 */
export function* loadLower(
  workspace: Workspace,
  address: number,
  a: Float64Array,
  n: number,
  flipped = false,
): Steps<void> {
  const { numbers } = workspace;
  const order = paddedOrder(n);
  const stride = paddedStride(order);
  const start = address / 8;
  if (flipped) {
    const from = { offset: n * n - 1, rowStride: -1, columnStride: -n };
    const to = { offset: start, rowStride: stride, columnStride: 1 };
    yield* overRows(n, n, (first, end) => copyMatrix(a, from, numbers, to, first, end, end));
  } else if (stride === n) {
    yield* overRows(n, n, (first, end) => numbers.set(a.subarray(first * n, end * n), start + first * n));
  } else {
    yield* overRows(n, n, (first, end) => {
      for (let row = first; row < end; row++) {
        numbers.set(a.subarray(row * n, row * n + row + 1), start + row * stride);
      }
    });
  }
  for (let row = n; row < order; row++) {
    numbers.fill(0, start + row * stride, start + row * stride + order);
    numbers[start + row * stride + row] = 1;
  }
}

/** Multiply-adds between two places to breathe: about two milliseconds. */
const PIECE = 1e7;

/**
 * X := X L⁻ᵀ for `rows` rows (even) of X in columns `start` to `end`, both multiples of four, piece by piece; the columns
 * of X before `start` are zero.
 */
export function* solveRows(
  kernels: Kernels,
  x: number,
  rows: number,
  l: number,
  stride: number,
  start: number,
  end: number,
): Steps<void> {
  for (let from = start; from < end; ) {
    const width = Math.max(4, Math.floor(PIECE / (rows * (from - start + 256)) / 4) * 4);
    const to = Math.min(end, from + width);
    kernels.solveRows(x, stride * 8, rows, l, stride * 8, start, from, to);
    yield undefined;
    from = to;
  }
}
