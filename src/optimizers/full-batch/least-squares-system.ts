/**
 * A damped step of nonlinear least squares, traced: L(θ) = (1/2N)‖r(θ)‖², r = f − y.
 *
 *   (JᵀJ/N + λD) v = −Jᵀr/N                                  in parameter space, order P
 *   (JD⁻¹Jᵀ/N + λI) u = r,   v = −D⁻¹Jᵀu/N                   in sample space, order M, by the push-through identity
 *
 * Both are (K + λI) x = b and v = map(x), in variables scaled by √D. With r'' in place of r, the second derivative of r
 * along v, they give the geodesic acceleration [Transtrum & Sethna 2012, arXiv 1201.5885]; r'' is exact, the graph's
 * Jacobian-vector product of its own Jacobian-vector product.
 *
 * | symbol | name          | shape            |
 * | ------ | ------------- | ---------------- |
 * | r, J   | `residual` and rows of the exact Fisher's scores | (M), (M, P); M = N·C |
 * | D      | I, or diag(JᵀJ)/N; `inverseRoot` is D^(−1/2) | (P) |
 * | K      | `matrix`      | (M, M) or (P, P) |
 * | b      | `rightSide`   | (M) or (P)       |
 * | x      | `solution`    | (M) or (P)       |
 *
 * J is formed only in parameter space and where D is not the identity.
 */
import { type LinearScores, linearScores } from "../../curvature/images.ts";
import { blockParameters } from "../../curvature/partition.ts";
import type { CurvatureRow } from "../../curvature/report.ts";
import type { DirectSolver } from "../../curvature/solver.ts";
import {
  flattenVector,
  gramMatrix,
  parseFisher,
  type Scores,
  scoreMatrix,
  splitVector,
  squaredScores,
  type TracedScores,
  totalDimension,
  traceLoss,
  traceScores,
  transposedProduct,
} from "../../fisher/index.ts";
import {
  add,
  concatenate,
  divide,
  input,
  jvp,
  matmul,
  max,
  maximum,
  multiply,
  type NamedOutputs,
  reshape,
  type SymbolicTensor,
  sqrt,
  squaredNorm,
  stopGradient,
  transpose,
} from "../../graph/index.ts";
import { requireMemory } from "../../memory.ts";
import { bytesPerElement, sizeOf } from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import { NEXT } from "../program/step-program.ts";
import { parameterInput, type TracedBatch } from "../program/traced-batch.ts";

export interface LeastSquaresSettings {
  /** `"gram"`: sample space, `"dense"`: parameter space, `"auto"`: the smaller. */
  readonly solver: DirectSolver;
  /** D. */
  readonly scaling: "identity" | "diagonal";
}

/** Entries of D below this part of the largest count as much: a parameter without influence must not divide by 0. */
const SMALLEST_SCALE = 1e-8;
/** Keeps D above 0 where every entry is 0. */
const TINY = 1e-30;

/** Whether the system is of the residuals' order, N·C, and not of the parameters', P. */
export function solvesInSampleSpace({ model }: Problem, samples: number, solver: DirectSolver): boolean {
  if (solver !== "auto") return solver === "gram";
  const sizes = [...model.parameters.values()].map(({ shape }) => sizeOf(shape));
  return samples * model.outputShape[0] <= sizes.reduce((a, b) => a + b, 0);
}

export class LeastSquaresSystem {
  readonly #problem: Problem;
  readonly #traced: TracedBatch;
  readonly #linear: LinearScores;
  readonly #scores: Scores;
  /** As the model has them. */
  readonly #layers: TracedScores["layers"];
  /** D^(−1/2), (P); none where D is the identity. */
  readonly #inverseRoot: SymbolicTensor | undefined;
  readonly inSampleSpace: boolean;
  /** Order of K. */
  readonly order: number;

  /** @throws UsageError with the estimate when the system would exceed the memory limit */
  constructor(problem: Problem, traced: TracedBatch, { solver, scaling }: LeastSquaresSettings) {
    this.#problem = problem;
    this.#traced = traced;
    const exact = parseFisher("exact");
    const scores = traceScores(traced.forward, problem.likelihood, traced.targets, exact);
    this.#layers = scores.layers;
    this.#linear = linearScores(scores, "rows");
    this.#scores = this.#linear.scores;
    const { layers } = this.#scores;
    this.inSampleSpace = solvesInSampleSpace(problem, traced.samples, solver);
    this.order = this.inSampleSpace ? layers[0].deltas.shape[0] : totalDimension(layers);
    if (scaling === "diagonal") {
      const squares = concatenate(layers.map((layer) => flattenVector(squaredScores(layer))));
      const diagonal = multiply(squares, 1 / traced.samples);
      const floor = maximum(multiply(max(diagonal), SMALLEST_SCALE), TINY);
      this.#inverseRoot = divide(1, sqrt(maximum(diagonal, floor)));
    }
    const order = `${this.order} ${this.inSampleSpace ? "residuals" : "parameters"}`;
    const remedy = "a smaller batch, or hessianFree";
    requireMemory(`system of ${order}`, this.#memoryBytes(), problem.memoryLimit, remedy);
  }

  /** `loss`, `matrix`, `rightSide`. */
  linearization(): NamedOutputs {
    const { forward, targets, samples } = this.#traced;
    const { layers, residual } = this.#scores;
    const explicit = this.inSampleSpace && !this.#inverseRoot ? undefined : this.#jacobian();
    const product = explicit
      ? matmul(explicit, explicit, this.inSampleSpace ? { transposeB: true } : { transposeA: true })
      : layers.map(gramMatrix).reduce(add);
    return {
      loss: traceLoss(forward, this.#problem.likelihood, targets),
      matrix: multiply(product, 1 / samples),
      rightSide: this.#rightSide(residual!),
    };
  }

  /** `rightSide` of the acceleration along map(`solution`). */
  acceleration(): NamedOutputs {
    const { forward, parameters } = this.#traced;
    const velocity = this.#byName(this.#map());
    const nodes = [...parameters.values()];
    const tangents = [...parameters.keys()].map((name) => stopGradient(velocity.get(name)!));
    const first = jvp([forward.outputs], nodes, tangents);
    const [second] = jvp(first, nodes, tangents);
    return { rightSide: this.#rightSide(reshape(transpose(second), [-1])) };
  }

  /** θ + map(`solution`) as the proposed parameters, the `loss` there and `squaredStepNorm`. */
  proposal(): NamedOutputs {
    const { inputs, targets, parameters } = this.#traced;
    const { likelihood, model } = this.#problem;
    const step = this.#map();
    const named = this.#byName(step);
    const proposed = new Map(
      [...parameters].map(([name, node]) => [name, add(node, named.get(name)!)] as const),
    );
    const next = [...proposed].map(([name, node]) => [NEXT + parameterInput(name), node] as const);
    return {
      ...Object.fromEntries(next),
      loss: traceLoss(model.forward(inputs, proposed, this.#traced.pass), likelihood, targets),
      squaredStepNorm: squaredNorm(step),
    };
  }

  /** −map(`solution`), by parameter name. */
  direction(): NamedOutputs {
    return Object.fromEntries(this.#byName(multiply(this.#map(), -1)));
  }

  report(): CurvatureRow {
    return {
      parameters: blockParameters(this.#layers),
      structure: "exact",
      solver: this.inSampleSpace ? "sample space" : "parameter space",
      dimension: this.order,
      memoryBytes: this.#memoryBytes(),
    };
  }

  /** J D^(−1/2), (M, P). */
  #jacobian(): SymbolicTensor {
    const jacobian = concatenate(this.#scores.layers.map(scoreMatrix), 1);
    return this.#inverseRoot ? multiply(jacobian, this.#inverseRoot) : jacobian;
  }

  /** b for residuals (M): themselves in sample space, D^(−1/2) Jᵀr/N in parameter space. */
  #rightSide(residuals: SymbolicTensor): SymbolicTensor {
    return this.inSampleSpace ? residuals : this.#pullBack(residuals);
  }

  /** map(x) for the input `solution`, (P). */
  #map(): SymbolicTensor {
    const solution = input("solution", [this.order], this.#problem.dtype);
    const scaled = multiply(this.inSampleSpace ? this.#pullBack(solution) : solution, -1);
    return this.#inverseRoot ? multiply(scaled, this.#inverseRoot) : scaled;
  }

  /** D^(−1/2) Jᵀu/N for u (M). */
  #pullBack(u: SymbolicTensor): SymbolicTensor {
    const weights = multiply(u, 1 / this.#traced.samples);
    const { layers } = this.#scores;
    const flat = concatenate(layers.map((layer) => flattenVector(transposedProduct(layer, weights))));
    return this.#inverseRoot ? multiply(flat, this.#inverseRoot) : flat;
  }

  #byName(flat: SymbolicTensor): Map<string, SymbolicTensor> {
    const vectors = this.#linear.unpacked(splitVector(this.#scores.layers, flat));
    return new Map(
      this.#layers.flatMap(({ weight, bias }, l) => {
        const own = [[weight, vectors[l].weight] as const];
        return bias === undefined ? own : [...own, [bias, vectors[l].bias!] as const];
      }),
    );
  }

  /** Bytes of J where it is formed, of K, and of its float64 copy and factor. */
  #memoryBytes(): number {
    const { layers } = this.#scores;
    const element = bytesPerElement(this.#problem.dtype);
    const explicit = !this.inSampleSpace || this.#inverseRoot !== undefined;
    const jacobian = explicit ? layers[0].deltas.shape[0] * totalDimension(layers) : 0;
    return element * (jacobian + 2 * this.order ** 2) + 16 * this.order ** 2;
  }
}
