/**
 * What one dense layer's curvature costs, part by part: the operations of the very computations that a step compiles, as they
 * are lowered, and the orders of the matrices that the host factorizes between them.
 *
 * Nothing is run and nothing is timed. The layer has no bias; of its batch there are a (m, d_in) and δ (m, d_out), one score row
 * a sample, as the empirical Fisher matrix has them.
 */
import { blockDiagonalStructure } from "../curvature/block-diagonal.ts";
import { ekfacStructure } from "../curvature/ekfac.ts";
import { kbfgsStructure } from "../curvature/kbfgs.ts";
import { kfacStructure } from "../curvature/kfac.ts";
import type { Structure, StructureContext } from "../curvature/structure.ts";
import type { Scores } from "../fisher/index.ts";
import { broadcastTo, input, lowerToOnnx, type SymbolicTensor, scalar } from "../graph/index.ts";
import type { DType } from "../tensor.ts";

/** m samples, d_in inputs and d_out outputs of the layer. */
export interface LayerSize {
  readonly m: number;
  readonly dIn: number;
  readonly dOut: number;
}

/** Floating-point operations, two for each product and sum of a matrix product. */
export interface BlockCosts {
  /** What is made of the batch: Gram matrices, covariances, scales; moving averages left out. */
  readonly factors: number;
  /** Σ n³ over the matrices of order n that the host factorizes, by their shapes; K-BFGS updates in their place, counted. */
  readonly inversion: number;
  /** From the gradient g (d_out, d_in) to the direction. */
  readonly preconditioning: number;
}

const kronecker = { convolution: "expand", decay: 0.95, statisticsEvery: 1, refreshEvery: 1 } as const;

/** By the names of the registry. */
const structures: Readonly<Record<string, Structure>> = {
  tengrad: blockDiagonalStructure,
  kfac: kfacStructure({ ...kronecker, piDamping: true, form: "inverse" }),
  ekfac: ekfacStructure(kronecker),
  kbfgs: kbfgsStructure({ decay: 0.9, pairDecay: 0.9, powell: true }),
};

/** Methods whose blocks are counted. */
export const countedMethods: readonly string[] = Object.keys(structures);

const context: StructureContext = {
  ...{ solver: "gram", memoryLimit: Number.POSITIVE_INFINITY, stale: true, damping: 1 },
  get network(): never {
    throw new Error("none of these blocks traces the network");
  },
};

/** Counts one method's block of one layer. */
export function countBlock(method: string, size: LayerSize): BlockCosts {
  const scores = scoresOf(size);
  const [block] = structures[method].blocks(scores, context);
  const { statistics, averages = {}, settled, refreshed, evolving = {}, memory = [] } = block;
  const kept = { ...statistics, ...averages, ...refreshed, ...settled?.specs, ...evolving };
  const slots = Object.fromEntries(
    Object.entries(kept).map(([name, { shape, dtype }]) => [name, input(`slot/${name}`, shape, dtype)]),
  );
  const written = Object.entries(refreshed).filter(([name]) => !memory.includes(name));
  const orders = written.flatMap(([, { shape }]) => (shape.length === 2 ? [shape[0]] : []));
  const evolved = block.observation?.evolve?.(slots, slots) ?? {};
  const gradient = { weight: input("gradient", [size.dOut, size.dIn], "float32") };
  const [direction] = block.stale([gradient], slots);
  return {
    factors: count({ ...computed({ ...statistics, ...averages }), ...settled?.trace(slots) }),
    inversion: orders.reduce((sum, order) => sum + order ** 3, count(evolved)),
    preconditioning: count({ direction: direction.weight }),
  };
}

function scoresOf({ m, dIn, dOut }: LayerSize): Scores {
  const dtype: DType = "float32";
  return {
    layers: [
      {
        ...{ kind: "linear", layer: "layer", weight: "layer.weight", biasInput: 1, rowsPerSample: 1 },
        inputs: input("a", [m, dIn], dtype),
        preactivations: input("s", [m, dOut], dtype),
        deltas: input("delta", [m, dOut], dtype),
      },
    ],
    residual: broadcastTo(scalar(1, dtype), [m]),
    samples: m,
  };
}

/** Without what is a or δ itself. */
function computed(traced: Readonly<Record<string, SymbolicTensor>>): Record<string, SymbolicTensor> {
  return Object.fromEntries(Object.entries(traced).filter(([, { inputs }]) => inputs.length > 0));
}

function count(outputs: Readonly<Record<string, SymbolicTensor>>): number {
  return Object.keys(outputs).length === 0 ? 0 : lowerToOnnx(outputs).flops;
}
