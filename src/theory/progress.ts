/** How much of the way a linear recursion has gone: 1 − (1 − x)ᵗ, without cancellation. */

/** Where a recursion explodes, its numbers stop growing here: predictions stay finite. */
const LARGEST = 1e300;

/**
 * 1 − (1 − x)ᵗ for x ≥ 0.
 *
 * | x       | how                                             |
 * | ------- | ----------------------------------------------- |
 * | < 1     | −expm1(t·log1p(−x))                             |
 * | 1       | 1 once t > 0                                    |
 * | > 1     | 1 ∓ (x − 1)ᵗ, t whole: (1 − x)ᵗ changes its sign |
 *
 * @throws RangeError when t is negative, or is not whole where x > 1
 */
export function progress(x: number, t: number): number {
  if (!(t >= 0)) throw new RangeError(`invalid step: ${t} (must be >= 0)`);
  if (t === 0 || x === 0) return 0;
  if (x < 1) return -Math.expm1(t * Math.log1p(-x));
  if (x === 1) return 1;
  if (!Number.isInteger(t)) {
    throw new RangeError(`invalid step: ${t} (must be whole where a step overshoots, η·μ = ${x} > 1)`);
  }
  // log(x − 1), exact near x = 2, where even steps come back to where they were.
  const exponent = t * Math.log1p(x - 2);
  return t % 2 === 0 ? Math.max(-LARGEST, -Math.expm1(exponent)) : Math.min(LARGEST, 1 + Math.exp(exponent));
}

/** (1 − (1 − ηx)ᵗ)/x, which is ηt in the limit x → 0. */
export function progressOver(x: number, learningRate: number, t: number): number {
  if (x === 0) return learningRate * t;
  return progress(learningRate * x, t) / x;
}
