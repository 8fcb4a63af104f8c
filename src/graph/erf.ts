/**
 * The error function in float64 from elementary operations.
 *
 * Source: W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969), with the
 * coefficients of his CALERF; relative error below 1e-16 in exact arithmetic on each of the three ranges
 *   |x| ≤ 0.46875      erf x  = x·P(x²)/Q(x²)
 *   0.46875 < |x| ≤ 4  erfc x = e^(−x²)·P(x)/Q(x)
 *   |x| > 4            erfc x = e^(−x²)/x·(1/√π + x⁻²·P(x⁻²)/Q(x⁻²))
 * All three are evaluated everywhere on clamped arguments and the right one is selected.
 */
import { add, divide, greater, maximum, minimum, multiply, subtract, where } from "./elementwise.ts";
import { absolute, exp, negate, reciprocal, sign, square } from "./functions.ts";
import type { SymbolicTensor } from "./symbolic.ts";

const SMALL = {
  numerator: [
    0.18577770618460315, 3.1611237438705655, 113.86415415105016, 377.485237685302, 3209.3775891384694,
  ],
  denominator: [1, 23.601290952344122, 244.02463793444417, 1282.6165260773723, 2844.236833439171],
};
const MIDDLE = {
  numerator: [
    2.1531153547440383e-8, 0.5641884969886701, 8.883149794388377, 66.11919063714163, 298.6351381974001,
    881.952221241769, 1712.0476126340707, 2051.0783778260716, 1230.3393547979972,
  ],
  denominator: [
    1, 15.744926110709835, 117.6939508913125, 537.1811018620099, 1621.3895745666903, 3290.7992357334597,
    4362.619090143247, 3439.3676741437216, 1230.3393548037495,
  ],
};
const LARGE = {
  numerator: [
    0.016315387137302097, 0.30532663496123236, 0.36034489994980445, 0.12578172611122926, 0.016083785148742275,
    0.0006587491615298378,
  ],
  denominator: [
    1, 2.568520192289822, 1.8729528499234604, 0.5279051029514285, 0.06051834131244132, 0.0023352049762686918,
  ],
};
const INVERSE_SQRT_PI = 1 / Math.sqrt(Math.PI);
/** erfc is below half a unit in the last place of 1 from here on. */
const SATURATION = 6;

/** erf x for float64 x, any shape. */
export function erfFloat64(x: SymbolicTensor): SymbolicTensor {
  const magnitude = absolute(x);

  const near = minimum(magnitude, 0.46875);
  const small = multiply(near, rational(square(near), SMALL));

  const between = minimum(maximum(magnitude, 0.46875), 4);
  const middle = multiply(exp(negate(square(between))), rational(between, MIDDLE));

  const far = minimum(maximum(magnitude, 4), SATURATION);
  const inverseSquare = reciprocal(square(far));
  const tail = subtract(INVERSE_SQRT_PI, multiply(inverseSquare, rational(inverseSquare, LARGE)));
  const large = multiply(exp(negate(square(far))), divide(tail, far));

  const complement = where(greater(magnitude, 4), large, middle);
  return multiply(sign(x), where(greater(magnitude, 0.46875), subtract(1, complement), small));
}

/** P(x)/Q(x), coefficients from the highest power down. */
function rational(x: SymbolicTensor, { numerator, denominator }: typeof SMALL): SymbolicTensor {
  return divide(polynomial(x, numerator), polynomial(x, denominator));
}

function polynomial(x: SymbolicTensor, coefficients: readonly number[]): SymbolicTensor {
  const [highest, next, ...rest] = coefficients;
  const start = add(multiply(x, highest), next);
  return rest.reduce((value, coefficient) => add(multiply(value, x), coefficient), start);
}
