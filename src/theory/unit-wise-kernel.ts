/**
 * Unit-wise natural gradient of finite networks, at zero damping.
 *
 * Source: [Karakida20 §5]. Blocks of units are blocks as layers are. With J_o = diag(δ_o) ā the Jacobian of unit o's own parameters and
 * K_o = J_o J_oᵀ its kernel,
 *
 *   Θ̄(x', x) = Σ_l Σ_o K_lo(x', x) K_lo⁺,   K_lo(x', x) = δ_lo(x') δ_lo(x) ā_l'·ā_l
 *   w_t,o = w_0,o + J_oᵀ K_o⁺ v(t),   v(t) = Θ̄⁻¹(I − (I − ηΘ̄)ᵗ)(y − f_0)
 *
 * Only points where the unit is active, δ_o ≠ 0, have a part in K_o. With one output and an invertible ā āᵀ, K_o⁺ = D⁻¹ (ā āᵀ)⁻¹ D⁻¹ over these,
 * D = diag(δ_o), and K_o K_o⁺ is their identity; otherwise both come from K_o itself (`pseudo-inverse.ts`).
 *
 * | symbol       | variable   | shape                 |
 * | ------------ | ---------- | --------------------- |
 * | ā_l          | `inputs`   | (N, F̄)                |
 * | δ_l, δ_o     | `deltas`, `own` | (C·N, O), (C·N)  |
 * | R ↦ K_o⁺ D R | `solve`    | (active, any)         |
 * | Θ̄            | `train`, `test` | (C·N, C·N), (C·N', C·N) |
 * | w_t,o − w_0,o | `units`   | (C·N, O), to be multiplied by ā_l |
 *
 * Differs from the paper: none; the wide limit is in `unit-wise.ts`.
 */
import { breathe } from "../breathe.ts";
import { RunError } from "../errors.ts";
import { choleskySolveAsync, dampedCholeskyAsync } from "../linalg/index.ts";
import { type DynamicsResult, type LayerMove, type LearningProblem, operatorCourse } from "./dynamics.ts";
import type { JacobianFactors, LayerFactors } from "./factors.ts";
import { type KernelMatrix, kernelMatrix, product, transposed } from "./matrix.ts";
import { invertibleFactor, pseudoInverse } from "./pseudo-inverse.ts";

export interface UnitOptions {
  /** Called with the units that are done, and all there are. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the work: the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface UnitWiseKernel {
  /** Θ̄ at the training points, (C·N, C·N). */
  readonly train: KernelMatrix;
  /** Θ̄(x', x), (C·N', C·N); present with test points. */
  readonly test?: KernelMatrix;
  readonly failure?: undefined;
}

/**
 * Predicted training of a finite network whose kernel does not change: at the training points, at others, and of the parameters.
 *
 * @param train factors at the training points; @param test at the test points
 */
export async function unitWiseNetworkDynamics(
  train: JacobianFactors,
  problem: LearningProblem,
  test?: JacobianFactors,
  options: UnitOptions = {},
): Promise<DynamicsResult> {
  const kernel = await unitWiseKernel(train, test, options);
  if (kernel.failure !== undefined) return kernel;
  const course = await operatorCourse("unit-wise", kernel.train, problem, kernel.test);
  if (course.failure !== undefined) return course;
  const moves = (step: number, rate: number) => unitMoves(train, course.combination(step, rate));
  return { ...course.dynamics, moves };
}

/** Θ̄ of a finite network. */
export async function unitWiseKernel(
  train: JacobianFactors,
  test?: JacobianFactors,
  options: UnitOptions = {},
): Promise<UnitWiseKernel | { readonly failure: string }> {
  const rows = train.layers[0].deltas.shape[0];
  const result = {
    train: kernelMatrix(rows, rows),
    test: test && kernelMatrix(test.layers[0].deltas.shape[0], rows),
  };
  const others = test?.layers.map(({ inputs }, l) => product(inputs, transposed(train.layers[l].inputs)));
  const failure = await eachUnit(train, options, async ({ active, projection, solve }, l, unit) => {
    if (projection === undefined) for (const q of active) result.train.data[q * (rows + 1)] += 1;
    else addAt(result.train, projection, active, active);
    if (test === undefined || result.test === undefined || others === undefined) return undefined;
    const deltas = unitDeltas(test.layers[l].deltas, unit);
    const [points, count] = others[l].shape;
    const right = kernelMatrix(active.length, deltas.length);
    active.forEach((q, k) => {
      for (let p = 0; p < deltas.length; p++) {
        right.data[k * deltas.length + p] = deltas[p] * others[l].data[(p % points) * count + (q % count)];
      }
    });
    const failure = await solve(right);
    if (failure === undefined) {
      addAt(result.test, transposed(right), Int32Array.from(deltas.keys()), active);
    }
    return failure;
  });
  return failure === undefined ? result : { failure };
}

/** diag(δ_o) K_o⁺ v of every unit. */
async function unitMoves(train: JacobianFactors, v: KernelMatrix): Promise<readonly LayerMove[]> {
  const moves = train.layers.map(({ deltas: { shape } }) => kernelMatrix(...shape));
  const failure = await eachUnit(train, {}, async ({ active, own, solve }, l, unit) => {
    const right = kernelMatrix(
      active.length,
      1,
      Float64Array.from(active, (q) => v.data[q] / own[q]),
    );
    const failure = await solve(right);
    const { shape, data } = moves[l];
    active.forEach((q, k) => {
      data[q * shape[1] + unit] = own[q] * right.data[k];
    });
    return failure;
  });
  if (failure !== undefined) throw new RunError(failure);
  return moves.map((units) => ({ units }));
}

/** One unit's K_o. */
interface Unit {
  /** Where δ_o ≠ 0. */
  readonly active: Int32Array;
  /** δ_o, (C·N). */
  readonly own: Float64Array;
  /** K_o K_o⁺ over the active points; absent where it is the identity. */
  readonly projection?: KernelMatrix;
  /** R ← K_o⁺ diag(δ_o) R, (active, any); says in words why it could not. */
  solve(right: KernelMatrix): Promise<string | undefined>;
  readonly failure?: undefined;
}

/** Milliseconds of work between two turns of the event loop. */
const BREATH = 12;

/** Visits the units of all layers; says in words why it could not. */
async function eachUnit(
  { layers }: JacobianFactors,
  { onProgress, signal }: UnitOptions,
  visit: (unit: Unit, layer: number, index: number) => Promise<string | undefined>,
): Promise<string | undefined> {
  const total = layers.reduce((units, { deltas }) => units + deltas.shape[1], 0);
  let done = 0;
  let since = performance.now();
  for (const [l, layer] of layers.entries()) {
    const invert = await unitInverter(layer);
    for (let index = 0; index < layer.deltas.shape[1]; index++) {
      const unit = await invert(unitDeltas(layer.deltas, index));
      const failure = unit.failure ?? (await visit(unit, l, index));
      if (failure !== undefined) return `unit-wise, layer ${l + 1}: ${failure}`;
      done++;
      if (performance.now() - since < BREATH) continue;
      signal?.throwIfAborted();
      onProgress?.(done, total);
      await breathe();
      since = performance.now();
    }
  }
  onProgress?.(total, total);
  return undefined;
}

/** δ_o, (C·N). */
function unitDeltas({ shape: [rows, units], data }: KernelMatrix, unit: number): Float64Array {
  return Float64Array.from({ length: rows }, (_, q) => data[q * units + unit]);
}

/** How the units of a layer are inverted: by ā āᵀ where that will do. */
async function unitInverter({ inputs, deltas }: LayerFactors) {
  const products = product(inputs, transposed(inputs));
  const count = products.shape[0];
  const single = count === deltas.shape[0];
  if (!single || (await invertibleFactor(products)) === undefined) {
    return (own: Float64Array) => invertUnit(products, own);
  }
  let last:
    | { readonly active: Int32Array; readonly factored: ReturnType<typeof dampedCholeskyAsync> }
    | undefined;
  return (own: Float64Array): Unit => {
    const active = activeOf(own);
    const solve = async (right: KernelMatrix) => {
      // The units of a smooth activation are all active everywhere, and share their factor.
      if (last === undefined || !sameIndices(last.active, active)) {
        last = {
          active,
          factored: dampedCholeskyAsync(partOf(products, active).data, active.length, 0, { maxRetries: 0 }),
        };
      }
      const factored = await last.factored;
      if (factored.failure !== undefined) return factored.failure;
      const finite = await choleskySolveAsync(factored.factor, active.length, right.data, right.shape[1]);
      scaleRows(right, (k) => 1 / own[active[k]]);
      return finite ? undefined : "the solution is not finite";
    };
    return { active, own, solve };
  };
}

function activeOf(own: Float64Array): Int32Array {
  return Int32Array.from(own.keys()).filter((q) => own[q] !== 0);
}

function sameIndices(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((q, k) => q === b[k]);
}

/** Rows and columns of ā āᵀ, (active, active). */
function partOf({ shape: [count], data }: KernelMatrix, active: Int32Array): KernelMatrix {
  const part = kernelMatrix(active.length, active.length);
  active.forEach((p, i) => {
    active.forEach((q, j) => {
      part.data[i * active.length + j] = data[(p % count) * count + (q % count)];
    });
  });
  return part;
}

/** K_o for itself. */
async function invertUnit(
  products: KernelMatrix,
  own: Float64Array,
): Promise<Unit | { readonly failure: string }> {
  const active = activeOf(own);
  const order = active.length;
  if (order === 0) return { active, own, solve: async () => undefined };
  // Rows scaled to the largest |δ|, so that no product underflows; projections do not change.
  const scale = 1 / active.reduce((most, q) => Math.max(most, Math.abs(own[q])), 0);
  const scaled = (k: number) => scale * own[active[k]];
  const kernel = partOf(products, active);
  scaleRows(kernel, scaled);
  for (let k = 0; k < kernel.data.length; k++) kernel.data[k] *= scaled(k % order);
  const inverse = await pseudoInverse(kernel);
  if (inverse.failure !== undefined) return inverse;
  const solve = async (right: KernelMatrix) => {
    scaleRows(right, scaled);
    const solved = transposed(await inverse.rightOf(transposed(right)));
    right.data.set(solved.data.map((value) => scale * value));
    return undefined;
  };
  return { active, own, projection: inverse.projection, solve };
}

/** Multiplies every row by its factor, in place. */
function scaleRows({ shape: [, columns], data }: KernelMatrix, factor: (row: number) => number): void {
  for (let k = 0; k < data.length; k++) data[k] *= factor(Math.floor(k / columns));
}

function addAt(sum: KernelMatrix, part: KernelMatrix, rows: Int32Array, columns: Int32Array): void {
  rows.forEach((p, i) => {
    columns.forEach((q, j) => {
      sum.data[p * sum.shape[1] + q] += part.data[i * columns.length + j];
    });
  });
}
