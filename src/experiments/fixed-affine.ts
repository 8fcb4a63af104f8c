/** A network in other parameters: fixed affine maps before its dense layers, and the weights that make up for them. */
import { RunError } from "../errors.ts";
import { add, constant, matmul } from "../graph/index.ts";
import { lu, luSolve } from "../linalg/index.ts";
import type { Layer } from "../nn/index.ts";
import type { Random } from "../random.ts";
import { type NamedTensors, tensor } from "../tensor.ts";

/** x ↦ x M + c. */
export interface AffineMap {
  /** M, (F, F) row-major. */
  readonly matrix: Float64Array;
  /** c, (F). */
  readonly shift: Float64Array;
}

/** An invertible map whose directions are scaled by very different factors, 1/4 to 4. */
export function drawAffineMap(random: Random, features: number): AffineMap {
  const matrix = Float64Array.from({ length: features * features }, () => 0.3 * random.normal());
  for (let k = 0; k < features; k++) {
    matrix[k * features + k] += 4 ** (features === 1 ? 1 : (2 * k) / (features - 1) - 1);
  }
  return { matrix, shift: Float64Array.from({ length: features }, () => random.normal()) };
}

/** The layer x ↦ x M + c, without parameters. */
export function fixedAffine({ matrix, shift }: AffineMap): Layer {
  const features = shift.length;
  return {
    type: "fixedAffine",
    describe: () => `fixedAffine(${features})`,
    build: (inputShape) => ({ outputShape: inputShape, parameters: {} }),
    apply(x) {
      const product = matmul(x, constant(matrix, [features, features], x.dtype));
      return add(product, constant(shift, [features], x.dtype));
    },
  };
}

/**
 * Weights and biases behind the map of the function that the given ones are in front of it: (x M + c) W'ᵀ + b' = x Wᵀ + b with
 * M W'ᵀ = Wᵀ and b' = b − W' c.
 *
 * @param weight (O, F)
 * @param bias (O)
 * @throws RunError when the map is singular
 */
export function behindMap(
  { matrix, shift }: AffineMap,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
): { readonly weight: Float64Array; readonly bias: Float64Array } {
  const features = shift.length;
  const outputs = bias.length;
  const solution = new Float64Array(features * outputs); // Wᵀ, then W'ᵀ
  for (let k = 0; k < solution.length; k++) {
    solution[k] = weight[(k % outputs) * features + Math.floor(k / outputs)];
  }
  if (!luSolve(lu(matrix.slice(), features), features, solution, outputs)) {
    throw new RunError("the affine map is singular");
  }
  const ownWeight = Float64Array.from(
    { length: features * outputs },
    (_, k) => solution[(k % features) * outputs + Math.floor(k / features)],
  );
  const ownBias = Float64Array.from({ length: outputs }, (_, o) => {
    let sum = bias[o];
    for (let f = 0; f < features; f++) sum -= ownWeight[o * features + f] * shift[f];
    return sum;
  });
  return { weight: ownWeight, bias: ownBias };
}

/**
 * Parameters of `[fixedAffine, dense, activation]…` that compute what those of `[dense, activation]…` do.
 *
 * @param maps one for each dense layer
 */
export function parametersBehind(maps: readonly AffineMap[], parameters: NamedTensors): NamedTensors {
  return new Map(
    maps.flatMap((map, layer) => {
      const [weight, bias] = ["weight", "bias"].map((part) => parameters.get(`${2 * layer}.${part}`)!);
      const own = behindMap(map, weight.data, bias.data);
      return [
        [`${3 * layer + 1}.weight`, tensor(own.weight, weight.shape)] as const,
        [`${3 * layer + 1}.bias`, tensor(own.bias, bias.shape)] as const,
      ];
    }),
  );
}
