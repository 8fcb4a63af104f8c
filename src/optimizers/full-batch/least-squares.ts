/** The programs of a least-squares step, by batch size; `least-squares-system.ts` has the formulas. */
import type { CurvatureRow } from "../../curvature/report.ts";
import type { NamedOutputs } from "../../graph/index.ts";
import type { NamedTensors } from "../../tensor.ts";
import type { Batch, Problem } from "../optimizer.ts";
import { BatchFunction } from "../program/batch-function.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { traceBatch } from "../program/traced-batch.ts";
import {
  type LeastSquaresSettings,
  LeastSquaresSystem,
  solvesInSampleSpace,
} from "./least-squares-system.ts";
import { dot } from "./limited-memory.ts";

/** The model of a batch's loss at the current parameters. */
export interface Linearization {
  readonly loss: number;
  /** Order of K. */
  readonly order: number;
  /** K, (order, order). */
  readonly matrix: Float64Array;
  /** b, (order). */
  readonly rightSide: Float64Array;
  /** ⟨map(x), map(y)⟩ in the metric D; −⟨g, map(x)⟩ for y = b. */
  inner(x: Float64Array, y: Float64Array): number;
}

export class LeastSquares {
  readonly #problem: Problem;
  readonly #settings: LeastSquaresSettings;
  readonly #linearize: BatchFunction;
  readonly #accelerate: BatchFunction;
  readonly #propose: BatchFunction;
  readonly #direction: BatchFunction;

  constructor(problem: Problem, state: DoubleBuffer, settings: LeastSquaresSettings) {
    const traced = (results: (system: LeastSquaresSystem) => NamedOutputs) =>
      new BatchFunction(problem, state, (batch) => results(new LeastSquaresSystem(problem, batch, settings)));
    this.#problem = problem;
    this.#settings = settings;
    this.#linearize = traced((system) => system.linearization());
    this.#accelerate = traced((system) => system.acceleration());
    this.#propose = traced((system) => system.proposal());
    this.#direction = traced((system) => system.direction());
  }

  /** Compiles what a step on batches of this size needs. */
  async prepare(samples: number, accelerated: boolean): Promise<void> {
    const programs = [this.#linearize, this.#propose, ...(accelerated ? [this.#accelerate] : [])];
    await Promise.all(programs.map((program) => program.prepare(samples)));
  }

  /** @throws UsageError with the estimate when the system would exceed the memory limit */
  async linearize(batch: Batch): Promise<Linearization> {
    const { loss, matrix: k, rightSide: b } = await this.#linearize.call(batch);
    const [matrix, rightSide] = [new Float64Array(k.data), new Float64Array(b.data)];
    const order = rightSide.length;
    const samples = batch.inputs.shape[0];
    const inSampleSpace = solvesInSampleSpace(this.#problem, samples, this.#settings.solver);
    return {
      ...{ loss: loss.data[0], order, matrix, rightSide },
      inner(x, y) {
        if (!inSampleSpace) return dot(x, y);
        let total = 0;
        for (let i = 0; i < order; i++) total += x[i] * dot(matrix.subarray(i * order, (i + 1) * order), y);
        return total / samples;
      },
    };
  }

  /** b of the acceleration along map(x). */
  async accelerate(batch: Batch, solution: Float64Array): Promise<Float64Array> {
    const { rightSide } = await this.#accelerate.call(batch, { solution });
    return new Float64Array(rightSide.data);
  }

  /** Proposes θ + map(x). */
  async propose(batch: Batch, solution: Float64Array): Promise<{ loss: number; stepNorm: number }> {
    const { loss, squaredStepNorm } = await this.#propose.call(batch, { solution });
    return { loss: loss.data[0], stepNorm: Math.sqrt(squaredStepNorm.data[0]) };
  }

  /** −map(x), by parameter name. */
  async direction(batch: Batch, solution: Float64Array): Promise<NamedTensors> {
    return new Map(Object.entries(await this.#direction.call(batch, { solution })));
  }

  curvature(samples: number): CurvatureRow {
    return new LeastSquaresSystem(this.#problem, traceBatch(this.#problem, samples), this.#settings).report();
  }

  dispose(): void {
    for (const program of [this.#linearize, this.#accelerate, this.#propose, this.#direction]) {
      program.dispose();
    }
  }
}
