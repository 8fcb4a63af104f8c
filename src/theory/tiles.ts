/**
 * Kernels of wide networks for thousands of points: tile by tile, keeping only what was asked for.
 *
 * The formulas are those of {@link analyticKernels}. A tile is a block of pairs of points, small enough for the cache: its products x·x'
 * come from ONNX Runtime, the recursion over layers runs on the tile, what is kept is copied out and the rest forgotten. Kernels between
 * the inputs are symmetric, so tiles above the diagonal are copies.
 *
 * | what                 | bytes                                         |
 * | -------------------- | --------------------------------------------- |
 * | each kernel kept     | 8 (N² + N'N)                                  |
 * | points in float64    | 8 (N + N') M_0                                |
 * | variances            | 8 (N + N') L                                  |
 * | one tile of order T  | 8 (2TM_0 + (5L + 2) T²)                       |
 *
 * One Θ of 10,000 points is 0.75 GiB, and a Cholesky factor of it as much again. The sum is known before anything is allocated, and refused where
 * it exceeds the limit.
 */
import { breathe } from "../breathe.ts";
import { requireOption } from "../errors.ts";
import { input, matmul } from "../graph/index.ts";
import { availableMemory, requireMemory } from "../memory.ts";
import { compile } from "../runtime/program.ts";
import { openRuntime, type Runtime } from "../runtime/runtime.ts";
import type { Tensor } from "../tensor.ts";
import { norms, type Points, readPoints, recursion, variances } from "./kernels.ts";
import { type KernelMatrix, kernelMatrix } from "./matrix.ts";
import { checkNetwork, type WideNetwork } from "./network.ts";

/** `"theta"` is Θ, `"theta.2"` Θ_2, and so with A_l (l = 0 … L − 1), Q_l and B_l (l = 1 … L). */
export type KernelName = "theta" | `${"theta" | "A" | "Q" | "B"}.${number}`;

export interface TileOptions {
  /** Points at which predictions are made, (N', M_0): kernels (N', N) as well. */
  readonly test?: Tensor;
  /** What is kept; default Θ alone. */
  readonly keep?: readonly KernelName[];
  /** Bytes that all of it may take; default two thirds of the free memory. */
  readonly memoryLimit?: number;
  /** Called after every tile with the pairs of points that are done, and all there are. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the work: the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Where products of points are computed; default one of its own on the CPU. */
  readonly runtime?: Runtime;
}

export interface TiledKernels {
  /** (N, N), by name. */
  readonly train: ReadonlyMap<KernelName, KernelMatrix>;
  /** (N', N), by name; empty without test points. */
  readonly test: ReadonlyMap<KernelName, KernelMatrix>;
}

export interface KernelSize {
  /** N. */
  readonly train: number;
  /** N'; default 0. */
  readonly test?: number;
  /** M_0. */
  readonly features: number;
  readonly depth: number;
  /** How many kernels are kept; default 1. */
  readonly kept?: number;
}

/** Bytes that {@link tiledKernels} will take, results included. */
export function kernelMemory({ train, test = 0, features, depth, kept = 1 }: KernelSize): number {
  const tile = tileOrder(depth);
  const results = kept * train * (train + test);
  const points = (train + test) * (features + depth);
  return 8 * (results + points + 2 * tile * features + (5 * depth + 2) * tile * tile);
}

/** Points on a tile's side: some 50,000 activations, about ten milliseconds of work. */
function tileOrder(depth: number): number {
  return Math.max(8, Math.min(128, Math.floor(Math.sqrt(50_000 / depth))));
}

/**
 * Kernels of a wide network between many points.
 *
 * @param inputs (N, M_0)
 * @throws MemoryError with the estimate where it exceeds the limit, before anything is allocated
 */
export async function tiledKernels(
  network: WideNetwork,
  inputs: Tensor,
  options: TileOptions = {},
): Promise<TiledKernels> {
  const { keep = ["theta"], memoryLimit = availableMemory(), onProgress, signal } = options;
  checkNetwork(network);
  const { depth } = network;
  for (const name of keep) checkName(name, depth);
  const [count, features] = inputs.shape;
  const rows = options.test?.shape[0] ?? 0;
  const size = { train: count, test: rows, features, depth, kept: keep.length };
  const what = `kernels of ${count}${rows > 0 ? ` + ${rows}` : ""} points`;
  requireMemory(what, kernelMemory(size), memoryLimit, "fewer points or fewer kernels kept");

  const train = preparePoints(network, readPoints("inputs", inputs));
  const test = options.test && preparePoints(network, readPoints("test", options.test, features));
  const empty = (height: number) => new Map(keep.map((name) => [name, kernelMatrix(height, count)] as const));
  const results = { train: empty(count), test: test ? empty(rows) : new Map() };
  const order = tileOrder(depth);
  const total = (count * (count + 1)) / 2 + rows * count;
  let done = 0;

  const runtime = options.runtime ?? (await openRuntime({ device: "cpu" }));
  const products = await tileProducts(runtime, order, features);
  try {
    for (const [points, kernels] of [[train, results.train] as const, [test, results.test] as const]) {
      if (points === undefined) continue;
      const symmetric = points === train;
      for (let row = 0; row < points.count; row += order) {
        const height = Math.min(order, points.count - row);
        for (let column = 0; column < (symmetric ? row + 1 : count); column += order) {
          const width = Math.min(order, count - column);
          signal?.throwIfAborted();
          const a0 = await products.of(points, row, height, train, column, width);
          const diagonal = symmetric && row === column;
          // Equal points have equal variances and covariances bit for bit, see {@link dualActivation}.
          if (diagonal) for (let k = 0; k < height; k++) a0[k * width + k] = train.norms[row + k];
          const part = (of: Prepared, from: number, length: number) =>
            of.variances.map((values) => values.subarray(from, from + length));
          const tile = recursion(network, a0, part(points, row, height), part(train, column, width));
          for (const [name, kernel] of kernels) {
            copyTile(pick(tile, name), height, width, kernel, row, column, symmetric);
          }
          done += diagonal ? (height * (height + 1)) / 2 : height * width;
          onProgress?.(done, total);
          await breathe();
        }
      }
    }
    return results;
  } finally {
    products.dispose();
    if (options.runtime === undefined) runtime.dispose();
  }
}

interface Prepared extends Points {
  readonly norms: Float64Array;
  readonly variances: readonly Float64Array[];
}

function preparePoints(network: WideNetwork, points: Points): Prepared {
  const a0 = norms(points);
  return { ...points, norms: a0, variances: variances(network, a0) };
}

/** A compiled product of two blocks of points, (height, width), divided by M_0. */
async function tileProducts(runtime: Runtime, order: number, features: number) {
  const shape = [order, features];
  const product = matmul(input("rows", shape, "float64"), input("columns", shape, "float64"), {
    transposeB: true,
  });
  const program = await compile(runtime, { product });
  const [rows, columns] = [new Float64Array(order * features), new Float64Array(order * features)];
  const result = new Float64Array(order * order);
  const binding = program.bind({ rows, columns }, { product: result });
  const load = (into: Float64Array, { data }: Points, from: number, length: number) => {
    into.set(data.subarray(from * features, (from + length) * features));
    into.fill(0, length * features);
  };
  return {
    async of(a: Points, row: number, height: number, b: Points, column: number, width: number) {
      load(rows, a, row, height);
      load(columns, b, column, width);
      await binding.run();
      const tile = new Float64Array(height * width);
      for (let i = 0; i < height; i++) {
        for (let j = 0; j < width; j++) tile[i * width + j] = result[i * order + j] / features;
      }
      return tile;
    },
    dispose() {
      binding.dispose();
      program.dispose();
    },
  };
}

/** Θ of a tile, or one layer's part. */
function pick(tile: ReturnType<typeof recursion>, name: KernelName): Float64Array {
  if (name === "theta") {
    const sum = new Float64Array(tile.layers[0].length);
    for (const layer of tile.layers) for (let k = 0; k < sum.length; k++) sum[k] += layer[k];
    return sum;
  }
  const [kind, number] = name.split(".");
  const layer = Number(number);
  if (kind === "A") return tile.A[layer];
  if (kind === "theta") return tile.layers[layer - 1];
  return (kind === "Q" ? tile.Q : tile.B)[layer - 1];
}

function checkName(name: string, depth: number): void {
  const [, kind, number] = /^(?:theta|(theta|A|Q|B)\.(\d+))$/.exec(name) ?? ["", "", "-1"];
  if (kind === undefined) return;
  const layer = Number(number);
  const valid = kind === "A" ? layer >= 0 && layer < depth : kind !== "" && layer >= 1 && layer <= depth;
  const must = `theta, A.0 … A.${depth - 1}, or theta, Q, B with .1 … .${depth}`;
  requireOption(valid, "kernel", name, must);
}

/** Copies a tile into place, and its transpose into the mirrored place. */
function copyTile(
  tile: Float64Array,
  height: number,
  width: number,
  { shape: [, columns], data }: KernelMatrix,
  row: number,
  column: number,
  mirror: boolean,
): void {
  for (let i = 0; i < height; i++) {
    data.set(tile.subarray(i * width, (i + 1) * width), (row + i) * columns + column);
  }
  if (!mirror) return;
  // On the diagonal's tiles the lower triangle is mirrored, so that the kernel is symmetric bit for bit.
  for (let i = 0; i < height; i++) {
    const end = row === column ? i : width;
    for (let j = 0; j < end; j++) data[(column + j) * columns + row + i] = tile[i * width + j];
  }
}
