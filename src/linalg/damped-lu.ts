/**
 * LU factorization of A + λI for a general A that does not give up at the first failure: the damping λ is raised tenfold
 * until it succeeds, and the caller is told. The twin of {@link dampedCholesky} for matrices that are not symmetric.
 */
import { type LuFactors, luSteps } from "./lu.ts";
import { allFinite, requireMatrix } from "./matrix.ts";
import { cooperate, finish, overRows, type Steps } from "./steps.ts";

/** The factors of A + damping·I, or in words why there are none. */
export type DampedLu =
  | {
      readonly factors: LuFactors;
      /** The damping in the factors: what was asked for, or more after retries. */
      readonly damping: number;
      /** How many times the damping was raised. */
      readonly retries: number;
      readonly failure?: undefined;
    }
  | { readonly failure: string };

/**
 * Factors A + damping·I; A is not changed.
 *
 * On failure the damping is raised tenfold, at least to nε times A's largest element (less would vanish in rounding), up
 * to `maxRetries` times. Elements that are not finite are refused at once.
 *
 * @param a (n, n) row-major
 * @param damping λ ≥ 0
 */
export function dampedLu(a: Float64Array, n: number, damping: number, maxRetries = 10): DampedLu {
  return finish(dampedLuSteps(a, n, damping, maxRetries));
}

/** {@link dampedLu} that lets the event loop breathe; `a` must not change until it is done. */
export function dampedLuAsync(
  a: Float64Array,
  n: number,
  damping: number,
  maxRetries = 10,
): Promise<DampedLu> {
  return cooperate(dampedLuSteps(a, n, damping, maxRetries));
}

function* dampedLuSteps(a: Float64Array, n: number, damping: number, maxRetries: number): Steps<DampedLu> {
  requireMatrix("a", a, n, n);
  if (!(damping >= 0 && damping < Infinity)) {
    throw new RangeError(`invalid damping: ${damping} (must be ≥ 0 and finite)`);
  }
  const factor = new Float64Array(n * n);
  let scale = 0;
  let finite = true;
  yield* overRows(n, n, (from, to) => {
    finite &&= allFinite(a, from * n, to * n);
    for (let k = from * n; k < to * n; k++) scale = Math.max(scale, Math.abs(a[k]));
  });
  if (!finite) return { failure: "the matrix is not finite" };
  let tried = damping;
  for (let retries = 0; ; retries++) {
    yield* overRows(n, n, (from, to) => {
      factor.set(a.subarray(from * n, to * n), from * n);
      for (let row = from; row < to; row++) factor[row * n + row] += tried;
    });
    const factors = yield* luSteps(factor, n);
    if (factors.failure === undefined) return { factors, damping: tried, retries };
    const next = Math.max(10 * tried, n * Number.EPSILON * scale);
    if (retries === maxRetries || scale === 0 || !(next < Infinity)) {
      const effort = retries > 0 ? `, raised ${retries} times from ${damping}` : "";
      return { failure: `${factors.failure} with damping ${tried}${effort}; raise the damping` };
    }
    tried = next;
  }
}
