/**
 * Block-diagonal Fisher, each layer's block inverted by rank-one updates, one score row after another.
 *
 *   H_0 = I/λ,   H_{q+1} = H_q − H_q s_q s_qᵀ H_q / (N + s_qᵀ H_q s_q),   δθ_l = H_M g_l
 *                                                       [Singh20 §3.1; MATH §4.10]
 *
 * In exact arithmetic H_M = (F_l + λI)⁻¹, TENGraD's inverse with the empirical Fisher. It costs M·P_l² whatever M is, and
 * is a baseline for cost. Rounding errors of one update are in all that follow: where s_qᵀ H_q s_q < 0 shows that H is no
 * longer positive definite, the recursion starts again with ten times the damping.
 *
 * | symbol | slot      | shape      |
 * | ------ | --------- | ---------- |
 * | s_q    | `scores`  | (M, P_l)   |
 * | H_M    | `inverse` | (P_l, P_l) |
 *
 * Differs from the paper: blocks are whole layers, and the recursion starts anew at every refresh.
 */
import { breathe } from "../breathe.ts";
import {
  flattenVector,
  type LayerScores,
  layerDimension,
  scoreMatrix,
  unflattenVector,
} from "../fisher/index.ts";
import { matmul, reshape } from "../graph/index.ts";
import { bytesPerElement, type TypedArray } from "../tensor.ts";
import type { CurvatureBlock, RefreshOutcome } from "./block.ts";
import { failed, LARGEST_SYNCHRONOUS_ORDER } from "./factorize.ts";
import { blockParameters } from "./partition.ts";
import { requireMemory } from "./solver.ts";
import type { Structure } from "./structure.ts";

/** How long the event loop may wait, in milliseconds. */
const BREATH_INTERVAL = 12;
/** How often the damping is raised tenfold before the block is given up. */
const MAX_RETRIES = 10;

export const woodFisherStructure: Structure = {
  name: "wood-fisher",
  blocks: ({ layers, samples }, { memoryLimit }) =>
    layers.map((layer) => woodFisherBlock(layer, samples, memoryLimit)),
};

function woodFisherBlock(layer: LayerScores, samples: number, memoryLimit: number): CurvatureBlock {
  const { dtype, shape } = layer.deltas;
  const [rows] = shape;
  const dimension = layerDimension(layer);
  const element = bytesPerElement(dtype);
  const memoryBytes = element * (rows * dimension + dimension ** 2) + 8 * dimension * (dimension + 2);
  const what = `wood-fisher block of ${dimension} parameters`;
  requireMemory(what, memoryBytes, memoryLimit, "tengrad, which is equal in exact arithmetic");
  return {
    layers: [layer],
    report: {
      parameters: blockParameters([layer]),
      structure: "wood-fisher",
      solver: `${rows} rank-one updates`,
      dimension,
      memoryBytes,
    },
    statistics: { scores: scoreMatrix(layer) },
    refreshed: { inverse: { shape: [dimension, dimension], dtype } },
    refresh({ scores, inverse }, { damping }) {
      if (damping === 0) return failed(damping, "the recursion starts from I/λ");
      const recursion = updates(scores, samples, dimension, damping, inverse);
      return rows * dimension ** 2 <= LARGEST_SYNCHRONOUS_ORDER ** 3
        ? finish(recursion)
        : cooperate(recursion);
    },
    stale: ([gradient], slots) => {
      const flat = reshape(flattenVector(gradient), [dimension, 1]);
      return [unflattenVector(layer, reshape(matmul(slots.inverse, flat), [dimension]))];
    },
  };
}

/** The recursion, with a place to breathe after every row. */
function* updates(
  scores: TypedArray,
  samples: number,
  dimension: number,
  damping: number,
  inverse: TypedArray,
): Generator<undefined, RefreshOutcome, void> {
  const rows = scores.length / dimension;
  const h = new Float64Array(dimension * dimension);
  const hs = new Float64Array(dimension);
  for (let tried = damping, retries = 0; ; tried *= 10, retries++) {
    h.fill(0);
    for (let k = 0; k < dimension; k++) h[k * (dimension + 1)] = 1 / tried;
    let row = 0;
    for (; row < rows; row++) {
      const score = scores.subarray(row * dimension, (row + 1) * dimension);
      const curvature = multiply(h, score, hs);
      if (!Number.isFinite(curvature)) return { damping, retries, failure: `score row ${row} is not finite` };
      if (curvature < 0) break;
      subtractOuter(h, hs, samples + curvature);
      yield;
    }
    if (row === rows) {
      inverse.set(h);
      return { damping: tried, retries };
    }
    if (retries === MAX_RETRIES) {
      return { damping, retries, failure: `the inverse lost its positive definiteness at score row ${row}` };
    }
  }
}

/** H s into `hs`; returns sᵀ H s. */
function multiply(h: Float64Array, score: TypedArray, hs: Float64Array): number {
  const dimension = hs.length;
  let curvature = 0;
  for (let i = 0; i < dimension; i++) {
    let total = 0;
    for (let j = 0, at = i * dimension; j < dimension; j++) total += h[at + j] * score[j];
    hs[i] = total;
    curvature += total * score[i];
  }
  return curvature;
}

/** H − v vᵀ/denominator. */
function subtractOuter(h: Float64Array, v: Float64Array, denominator: number): void {
  const dimension = v.length;
  for (let i = 0; i < dimension; i++) {
    const weight = v[i] / denominator;
    if (weight === 0) continue;
    for (let j = 0, at = i * dimension; j < dimension; j++) h[at + j] -= weight * v[j];
  }
}

function finish(recursion: Generator<undefined, RefreshOutcome, void>): RefreshOutcome {
  for (;;) {
    const step = recursion.next();
    if (step.done) return step.value;
  }
}

async function cooperate(recursion: Generator<undefined, RefreshOutcome, void>): Promise<RefreshOutcome> {
  let since = performance.now();
  for (;;) {
    const step = recursion.next();
    if (step.done) return step.value;
    if (performance.now() - since < BREATH_INTERVAL) continue;
    await breathe();
    since = performance.now();
  }
}
