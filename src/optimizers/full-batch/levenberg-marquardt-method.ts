/** Levenberg-Marquardt at work: linearize, solve, propose; more damping until the loss falls; state remembered. */
import type { CurvatureRow } from "../../curvature/report.ts";
import { UsageError } from "../../errors.ts";
import { choleskySolveAsync, dampedCholeskyAsync } from "../../linalg/index.ts";
import type { NamedTensors } from "../../tensor.ts";
import { stateSpecs } from "../first-order/update.ts";
import type { Batch, Method, MethodMemory, Problem, StepStatistics } from "../optimizer.ts";
import { BatchNoise, smallBatches } from "../program/batch-noise.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { lossRounding, machineEpsilon } from "../program/rounding.ts";
import { learningRateAt } from "../schedule.ts";
import { LeastSquares, type Linearization } from "./least-squares.ts";
import type { LevenbergMarquardtOptions } from "./levenberg-marquardt.ts";
import { type DampingRule, dampingRules, type MarquardtDamping } from "./marquardt-damping.ts";
import { requireSameFunction } from "./same-function.ts";

/** A factorization of K + λI. */
interface Factor {
  readonly factor: Float64Array;
  readonly damping: number;
}

/** How a step ended. */
interface Outcome {
  readonly status: string;
  /** λ of the step. */
  readonly damping: number;
  /** λ and ν of the next step. */
  readonly next: MarquardtDamping;
  /** Loss after the step and its length, where the proposed parameters are to be taken. */
  readonly taken?: { readonly loss: number; readonly stepNorm: number };
}

export class LevenbergMarquardtMethod implements Method {
  readonly state: DoubleBuffer;
  readonly #problem: Problem;
  readonly #settings: Required<LevenbergMarquardtOptions>;
  readonly #leastSquares: LeastSquares;
  readonly #rule: DampingRule;
  readonly #noise = new BatchNoise();
  #damping: MarquardtDamping;
  #step = 0;

  constructor(problem: Problem, settings: Required<LevenbergMarquardtOptions>) {
    requireSameFunction("levenbergMarquardt", problem);
    this.#problem = problem;
    this.#settings = settings;
    this.state = new DoubleBuffer(stateSpecs(problem));
    this.#leastSquares = new LeastSquares(problem, this.state, settings);
    this.#rule = dampingRules[settings.adaptation];
    this.#damping = { damping: settings.damping, growth: this.#rule.growth };
  }

  prepare(samples: number): Promise<void> {
    return this.#leastSquares.prepare(samples, this.#settings.acceleration > 0);
  }

  async step(batch: Batch): Promise<StepStatistics> {
    const step = this.#step;
    const learningRate = learningRateAt(this.#settings.learningRate, step);
    const model = await this.#leastSquares.linearize(batch);
    const { loss } = model;
    const { status, damping, next, taken } = await this.#move(batch, model, learningRate);
    this.#damping = next;
    const accepted = !status.startsWith("rejected");
    if (taken) {
      this.#noise.record(loss, taken.loss);
      this.state.accept();
    }
    if (accepted) this.#step++;
    return { step, loss, learningRate, damping, stepNorm: taken?.stepNorm ?? 0, accepted, status };
  }

  /** −v of the current damping. */
  async direction(batch: Batch): Promise<NamedTensors> {
    const model = await this.#leastSquares.linearize(batch);
    const factor = await factorize(model, this.#damping.damping);
    if (typeof factor === "string") throw new UsageError(factor);
    return this.#leastSquares.direction(batch, await solve(model, factor, model.rightSide));
  }

  curvature(batchSize: number): CurvatureRow[] {
    return [this.#leastSquares.curvature(batchSize)];
  }

  remember(): MethodMemory {
    return {
      tensors: new Map(),
      values: { step: this.#step, ...this.#damping, noise: this.#noise.memory },
    };
  }

  recall({ values }: MethodMemory): void {
    this.#damping = { damping: Number(values.damping), growth: Number(values.growth) };
    this.#noise.recall(values.noise);
    this.#step = Number(values.step);
  }

  dispose(): void {
    this.#leastSquares.dispose();
  }

  /** Tries steps with more and more damping until one lowers the loss. */
  async #move(batch: Batch, model: Linearization, learningRate: number): Promise<Outcome> {
    const before = this.#damping;
    const stay = (status: string, next = before): Outcome => ({ status, damping: before.damping, next });
    const { loss, rightSide } = model;
    if (!Number.isFinite(loss)) return stay(`rejected: the loss is ${loss} at the current parameters`);
    if (!rightSide.every(Number.isFinite)) return stay("rejected: the gradient is not finite");
    if (learningRate === 0) return stay("ok");

    let tried = before;
    for (let tries = 0; tries <= this.#settings.retries; tries++) {
      const factor = await factorize(model, tried.damping);
      if (typeof factor === "string") return stay(`rejected: ${factor}`);
      const { damping } = factor;
      const velocity = await solve(model, factor, rightSide);
      const slope = model.inner(rightSide, velocity);
      const length = model.inner(velocity, velocity);
      if (!Number.isFinite(slope) || !Number.isFinite(length))
        return stay("rejected: the step is not finite");
      if (slope <= 0) return stay("converged: the gradient is zero");

      // L(θ) − L̂(θ + ηv), with vᵀAv = −gᵀv − λ‖v‖² for A = JᵀJ/N.
      const predicted = learningRate * slope - (learningRate ** 2 / 2) * (slope - damping * length);
      const solution = await this.#accelerated(batch, model, factor, velocity, learningRate);
      const end = solution && (await this.#leastSquares.propose(batch, solution));
      if (end && end.loss < loss && Number.isFinite(end.stepNorm)) {
        const gainRatio = predicted > 0 ? (loss - end.loss) / predicted : Number.NaN;
        const next = this.#rule.accepted({ ...tried, damping }, gainRatio);
        const status = this.#noise.dominates(loss) ? smallBatches("Levenberg-Marquardt") : "ok";
        return { status, damping, next, taken: end };
      }
      const hidden = slope <= lossRounding(loss, this.#problem) || (end && this.#vanishes(end.stepNorm));
      if (hidden) return stay("converged: no lower loss that rounding does not hide");
      tried = this.#rule.refused({ ...tried, damping });
    }
    const [from, to] = [before.damping, tried.damping].map((value) => Number(value.toPrecision(3)));
    const tries = this.#settings.retries + 1;
    return stay(`rejected: no lower loss in ${tries} tries; damping ${from} → ${to}`, tried);
  }

  /** x of ηv + ½η²a; nothing where the acceleration is too large for the step to be trusted. */
  async #accelerated(
    batch: Batch,
    model: Linearization,
    factor: Factor,
    velocity: Float64Array,
    learningRate: number,
  ): Promise<Float64Array | undefined> {
    const { acceleration: limit } = this.#settings;
    if (limit === 0) return velocity.map((value) => learningRate * value);
    const rightSide = await this.#leastSquares.accelerate(batch, velocity);
    const acceleration = await solve(model, factor, rightSide);
    const ratio = 2 * Math.sqrt(model.inner(acceleration, acceleration) / model.inner(velocity, velocity));
    if (!(ratio <= limit)) return undefined;
    const half = learningRate ** 2 / 2;
    return velocity.map((value, k) => learningRate * value + half * acceleration[k]);
  }

  /** Whether a step is lost in the rounding of the parameters. */
  #vanishes(stepNorm: number): boolean {
    let total = 0;
    for (const array of Object.values(this.state.current)) {
      for (let k = 0; k < array.length; k++) total += array[k] * array[k];
    }
    return stepNorm <= machineEpsilon(this.#problem.dtype) * Math.sqrt(total);
  }
}

/** K + λI in factors, with more damping where it is not positive definite; in words why there are none. */
async function factorize({ matrix, order }: Linearization, damping: number): Promise<Factor | string> {
  const result = await dampedCholeskyAsync(matrix, order, damping);
  return result.failure ?? { factor: result.factor, damping: result.damping };
}

/** x of (K + λI) x = b; NaN where it is not finite. */
async function solve(
  { order }: Linearization,
  { factor }: Factor,
  rightSide: Float64Array,
): Promise<Float64Array> {
  const solution = rightSide.slice();
  const finite = await choleskySolveAsync(factor, order, solution);
  return finite ? solution : solution.fill(Number.NaN);
}
