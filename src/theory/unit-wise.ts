/**
 * Unit-wise natural gradient, one Fisher block for each unit, of infinitely wide networks.
 *
 * Source: [Karakida20 §5]. At the training points every unit's part of Θ̄ is a projection. With one output and an invertible ā āᵀ it is diagonal, 1
 * where the unit is active (δ ≠ 0) and 0 elsewhere: a point's rate is the number of its active units,
 *
 *   α_n = Σ_l #{o : δ_lo(x_n) ≠ 0} → γM(L − 1),   γ = ½ for ReLU, 1 for erf
 *
 * in the limit of wide hidden layers, the M_0 inputs being no fewer than the N points; the last layer's one unit adds 1.
 *
 * | symbol | where                                   | shape |
 * | ------ | --------------------------------------- | ----- |
 * | γ      | `DualActivation.activeShare`            | ()    |
 * | M      | `width`                                 | ()    |
 * | α      | {@link unitWiseFactor}                  | ()    |
 *
 * Differs from the paper: away from the training points Θ̄ is a sum of quotients δ_o(x')/δ_o(x) of nearly normal variables, whose mean over initial
 * weights does not exist, so no limit is claimed here: the theory alone predicts the training points. A finite network's own Θ̄ predicts the
 * others, and the parameters: `unit-wise-kernel.ts`.
 */
import { requireOption } from "../errors.ts";
import { dualActivation } from "./activations.ts";
import { columnsOf, type Dynamics, type LearningProblem, type Prediction } from "./dynamics.ts";
import { kernelMatrix } from "./matrix.ts";
import type { WideNetwork } from "./network.ts";
import { progress } from "./progress.ts";

/** α = γM(L − 1) of a wide network. @throws UsageError with fewer than two layers */
export function unitWiseFactor({ depth, activation }: WideNetwork, width: number): number {
  requireOption(depth >= 2, "depth", depth, ">= 2: the last layer alone has no wide limit of units");
  requireOption(Number.isInteger(width) && width >= 1, "width", width, "a positive integer");
  return dualActivation(activation).activeShare * width * (depth - 1);
}

/** Predicted training at the training points, where the metric is isotropic in the wide limit. */
export function unitWiseDynamics(network: WideNetwork, width: number, problem: LearningProblem): Dynamics {
  const alpha = unitWiseFactor(network, width);
  const columns = columnsOf(problem, problem.targets.shape[0]);
  const predict = (share: number): Prediction => {
    const { shape, data } = columns.residual;
    return {
      train: columns.train(
        kernelMatrix(
          shape[0],
          shape[1],
          data.map((value) => share * value),
        ),
      ),
    };
  };
  return {
    metric: "unit-wise",
    alpha,
    optimalRate: 1 / alpha,
    at: (step, rate) => predict(progress(alpha * rate, step)),
    limit: () => predict(1),
  };
}
