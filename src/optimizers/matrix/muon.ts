/**
 * Muon [Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"]: momentum, orthogonalized. Weight decay and
 * the scale "rms" are those of Liu et al. 2025, "Muon is scalable for LLM training" (arXiv:2502.16982).
 *
 *   V ← μV + G,   U = G + μV                                 without Nesterov's look-ahead U = V
 *   X₀ = U/(‖U‖_F + 10⁻⁷),   X ← aX + (bA + cA²)X,   A = XXᵀ,   `iterations` times
 *   W ← W − η(ρX + wW)                                       X ≈ PQᵀ where U = PΣQᵀ
 *   ρ = √max(1, O/F) for "spectral", 0.2 √max(O, F) for "rms"
 *
 * The quintic a = 3.4445, b = −4.7750, c = 2.0315 is steep at zero and does not converge: five iterations bring singular values that
 * are not tiny between about 0.7 and 1.2. "rms" makes the step's root mean square that of a typical AdamW step, so that AdamW's rates can be
 * kept; with "spectral" η is the spectral norm of a step.
 *
 * | symbol  | option                | state      | shape  |
 * | ------- | --------------------- | ---------- | ------ |
 * | W, G    |                       |            | (O, F) |
 * | V       |                       | `velocity` | (O, F) |
 * | η, μ, w | `learningRate`, `momentum`, `weightDecay` | | |
 * | ρ       | `scale`               |            |        |
 *
 * Which matrices: the authors leave the first and the last layer of a network to AdamW (embedding and head, in their case), and so
 * does `matrices: "hidden"`; `"all"` takes every weight matrix. Everything else is AdamW's, with β₁ = 0.9, β₂ = 0.95, ε = 10⁻¹⁰ as in the
 * authors' code, its own rate and the same w.
 *
 * Differs from the paper: iterations run in the training precision, the authors' in bfloat16; for O > F the small
 * Gram matrix XᵀX is taken in place of transposing X, which is the same.
 */
import type { CurvatureRow } from "../../curvature/report.ts";
import { requireNumber, requireOption } from "../../errors.ts";
import { add, divide, matmul, multiply, type SymbolicTensor, sqrt, squaredNorm } from "../../graph/index.ts";
import { bytesPerElement, sizeOf } from "../../tensor.ts";
import { adamRule } from "../first-order/adam.ts";
import type { Optimizer, Problem } from "../optimizer.ts";
import { checkLearningRate, type LearningRate, learningRateAt } from "../schedule.ts";
import { preconditioned } from "./preconditioned.ts";
import { elementwise, type ParameterPlace, type Preconditioner } from "./preconditioner.ts";

export interface MuonOptions {
  /** η of the matrices, a number or a schedule; default 0.02. */
  readonly learningRate?: LearningRate;
  /** μ; default 0.95. */
  readonly momentum?: number;
  /** Look ahead along the velocity; default true. */
  readonly nesterov?: boolean;
  /** w, decoupled; default 0. */
  readonly weightDecay?: number;
  /** Newton-Schulz iterations; default 5. */
  readonly iterations?: number;
  /** `"spectral"` (Jordan et al., the default) or `"rms"` (Liu et al.). */
  readonly scale?: "spectral" | "rms";
  /** Weights of the layers between the first and the last (`"hidden"`, the default), or of all of them. */
  readonly matrices?: "hidden" | "all";
  /** AdamW's rate for everything else, a number or a schedule; default 0.01, with `"rms"` that of the matrices. */
  readonly adamLearningRate?: LearningRate;
}

const [A, B, C] = [3.4445, -4.775, 2.0315];
/** Keeps zero matrices zero. */
const SMALLEST_NORM = 1e-7;

/** Muon for weight matrices, AdamW for the rest. @throws UsageError when an option is out of range */
export function muon(options: MuonOptions = {}): Optimizer {
  const { learningRate = 0.02, momentum = 0.95, nesterov = true, weightDecay = 0 } = options;
  const { iterations = 5, scale = "spectral", matrices = "hidden" } = options;
  const { adamLearningRate = scale === "rms" ? learningRate : 0.01 } = options;
  checkLearningRate(learningRate);
  requireNumber(momentum >= 0 && momentum < 1, "momentum", momentum, "in [0, 1)");
  requireOption(typeof nesterov === "boolean", "nesterov", nesterov, "true or false");
  const wholeNumber = Number.isInteger(iterations) && iterations > 0;
  requireOption(wholeNumber, "iterations", iterations, "a positive integer");
  requireOption(scale === "spectral" || scale === "rms", "scale", scale, "spectral | rms");
  requireOption(matrices === "hidden" || matrices === "all", "matrices", matrices, "hidden | all");
  checkLearningRate(adamLearningRate, "adamLearningRate");
  const settings = { momentum, nesterov, iterations, scale, weightDecay };
  const rest = { beta1: 0.9, beta2: 0.95, epsilon: 1e-10, weightDecay };
  const adamw = adamRule({ ...rest, learningRate: adamLearningRate }, true);
  return preconditioned("muon", options, {
    learningRate,
    scalars: (step, rate) => ({
      rate,
      matrixShrinkage: rate * weightDecay,
      ...adamw.scalars(step, learningRateAt(adamLearningRate, step)),
    }),
    preconditioner: (place, problem) =>
      isMatrix(place, problem, matrices)
        ? muonPreconditioner(place, settings)
        : elementwise(adamw, "AdamW, element by element", place),
  });
}

/** Whether a parameter is a weight matrix that Muon takes. */
function isMatrix({ name, shape }: ParameterPlace, { model }: Problem, matrices: "hidden" | "all"): boolean {
  if (shape.length !== 2 || matrices === "all") return shape.length === 2;
  const weights = [...model.parameters].filter(([, other]) => other.shape.length > 1);
  return name !== weights[0][0] && name !== weights[weights.length - 1][0];
}

type MuonSettings = Required<
  Pick<MuonOptions, "momentum" | "nesterov" | "iterations" | "scale" | "weightDecay">
>;

function muonPreconditioner(
  { name, shape, dtype }: ParameterPlace,
  { momentum, nesterov, iterations, scale, weightDecay }: MuonSettings,
): Preconditioner {
  const [rows, columns] = shape;
  const size =
    scale === "rms" ? 0.2 * Math.sqrt(Math.max(rows, columns)) : Math.sqrt(Math.max(1, rows / columns));
  const dimension = Math.min(rows, columns);
  const report: CurvatureRow = {
    ...{ parameters: [name], structure: "orthogonalized", dimension },
    solver: `${iterations} Newton-Schulz iterations`,
    memoryBytes: bytesPerElement(dtype) * (3 * sizeOf(shape) + 2 * dimension ** 2),
  };
  return {
    report,
    state: { velocity: { shape, dtype } },
    update({ parameter, gradient, state, scalars }) {
      const velocity = add(multiply(state.velocity, momentum), gradient);
      const ahead = nesterov ? add(gradient, multiply(velocity, momentum)) : velocity;
      const step = multiply(orthogonalize(ahead, iterations), multiply(scalars.rate, size));
      const decayed = weightDecay === 0 ? step : add(step, multiply(parameter, scalars.matrixShrinkage));
      return { step: decayed, state: { velocity }, guard: squaredNorm(ahead) };
    },
    direction: (gradient) => multiply(orthogonalize(gradient, iterations), size),
  };
}

/**
 * A matrix with the singular vectors of U and singular values near 1, by Newton-Schulz iterations on the smaller side.
 *
 * @param u (O, F); zero stays zero
 */
export function orthogonalize(u: SymbolicTensor, iterations: number): SymbolicTensor {
  const [rows, columns] = u.shape;
  const wide = rows <= columns;
  let x = divide(u, add(sqrt(squaredNorm(u)), SMALLEST_NORM));
  for (let k = 0; k < iterations; k++) {
    const gram = matmul(x, x, wide ? { transposeB: true } : { transposeA: true });
    const polynomial = add(multiply(gram, B), multiply(matmul(gram, gram), C));
    const turned = wide ? matmul(polynomial, x) : matmul(x, polynomial);
    x = add(multiply(x, A), turned);
  }
  return x;
}
