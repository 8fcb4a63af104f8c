/** L-BFGS at work: direction from the pairs, line search on the batch, pair learned, state remembered. */
import { traceLoss } from "../../fisher/index.ts";
import type { NamedTensors } from "../../tensor.ts";
import { stateSpecs } from "../first-order/update.ts";
import type { Batch, Method, MethodMemory, Problem, StepStatistics } from "../optimizer.ts";
import { BatchFunction } from "../program/batch-function.ts";
import { BatchNoise, smallBatches } from "../program/batch-noise.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { lossRounding } from "../program/rounding.ts";
import { PROPOSED } from "../program/step-program.ts";
import { parameterInput, traceBatch, traceNamedGradient } from "../program/traced-batch.ts";
import { learningRateAt } from "../schedule.ts";
import { armijo, type LineSearchStatus, strongWolfe } from "../step-rules/line-search.ts";
import { FlatParameters, flatten } from "./flat-parameters.ts";
import { LastEvaluation } from "./last-evaluation.ts";
import type { LbfgsOptions } from "./lbfgs.ts";
import { dot, type FloatArray, LimitedMemory } from "./limited-memory.ts";
import { requireSameFunction } from "./same-function.ts";

/** Loss and flat gradient (P) of a batch. */
interface Evaluation {
  readonly loss: number;
  readonly gradient: FloatArray;
}

/** Where a search along one direction ended; the proposed parameters are there. */
interface Arrival extends Evaluation {
  /** α; 0 where nothing was found. */
  readonly step: number;
  readonly status: LineSearchStatus | "the loss after the step is not finite";
}

export class LbfgsMethod implements Method {
  readonly state: DoubleBuffer;
  readonly #problem: Problem;
  readonly #settings: Required<LbfgsOptions>;
  readonly #parameters: FlatParameters;
  readonly #pairs: LimitedMemory;
  readonly #noise = new BatchNoise();
  readonly #last = new LastEvaluation<Evaluation>();
  /** Loss and gradient at the proposed parameters. */
  readonly #evaluate: BatchFunction;
  readonly #gradient: BatchFunction;
  #step = 0;

  constructor(problem: Problem, settings: Required<LbfgsOptions>) {
    requireSameFunction("lbfgs", problem);
    this.#problem = problem;
    this.#settings = settings;
    const { likelihood } = problem;
    this.state = new DoubleBuffer(stateSpecs(problem));
    this.#parameters = new FlatParameters(problem, this.state);
    this.#pairs = new LimitedMemory(this.#parameters.size, settings.memory, problem.dtype);
    this.#evaluate = new BatchFunction(problem, this.state, ({ samples }) => {
      const traced = traceBatch(problem, samples, (name) => PROPOSED + parameterInput(name));
      const loss = traceLoss(traced.forward, likelihood, traced.targets);
      return { loss, gradient: flatten(traceNamedGradient(likelihood, traced)) };
    });
    this.#gradient = new BatchFunction(problem, this.state, (traced) =>
      Object.fromEntries(traceNamedGradient(likelihood, traced)),
    );
  }

  prepare(samples: number): Promise<void> {
    return this.#evaluate.prepare(samples);
  }

  async step(batch: Batch): Promise<StepStatistics> {
    const step = this.#step;
    const learningRate = learningRateAt(this.#settings.learningRate, step);
    const start = await this.#start(batch);
    const outcome = await this.#move(batch, start, learningRate);
    const accepted = !outcome.status.startsWith("rejected");
    const moved = accepted ? outcome.moved : undefined;
    const stepNorm = moved ? Math.sqrt(dot(moved, moved)) : 0;
    if (moved) this.state.accept();
    if (accepted) this.#step++;
    this.#last.keep(this.#parameters.current, batch, (moved && outcome.end) ?? start);
    return { step, loss: start.loss, learningRate, stepNorm, accepted, status: outcome.status };
  }

  /** The gradient: without earlier steps there is no other direction. */
  async direction(batch: Batch): Promise<NamedTensors> {
    return new Map(Object.entries(await this.#gradient.call(batch)));
  }

  curvature(): [] {
    return [];
  }

  remember(): MethodMemory {
    const { steps, changes } = this.#pairs.save();
    const tensors = new Map(
      this.#pairs.count === 0 ? [] : [["pairs/steps", steps] as const, ["pairs/changes", changes] as const],
    );
    return { tensors, values: { step: this.#step, noise: this.#noise.memory } };
  }

  recall({ tensors, values }: MethodMemory): void {
    const [steps, changes] = [tensors.get("pairs/steps"), tensors.get("pairs/changes")];
    this.#pairs.clear();
    if (steps && changes) this.#pairs.restore({ steps, changes });
    this.#noise.recall(values.noise);
    this.#step = Number(values.step);
  }

  dispose(): void {
    this.#evaluate.dispose();
    this.#gradient.dispose();
  }

  /** Proposes new parameters and learns from them; `moved` is θ' − θ, absent where they are to stay, `end` what is known of θ'. */
  async #move(
    batch: Batch,
    start: Evaluation,
    learningRate: number,
  ): Promise<{ status: string; moved?: Float64Array; end?: Evaluation }> {
    if (!Number.isFinite(start.loss)) {
      return { status: `rejected: the loss is ${start.loss} at the current parameters` };
    }
    const length = dot(start.gradient, start.gradient);
    if (!Number.isFinite(length)) return { status: "rejected: the gradient is not finite" };
    if (length === 0) return { status: "converged: the gradient is zero" };
    if (learningRate === 0) return { status: "ok" };

    const idle = ({ step, status, loss }: Arrival) =>
      step === 0 || (status !== "ok" && start.loss - loss <= lossRounding(start.loss, this.#problem));
    let forget = false;
    let end = await this.#search(batch, start, learningRate, this.#pairs);
    if (idle(end) && this.#pairs.count > 0) {
      forget = true;
      end = await this.#search(batch, start, learningRate, this.#emptyMemory());
    }
    if (idle(end)) {
      const converged = end.step > 0 || end.status === HIDDEN;
      return { status: converged ? `converged: ${HIDDEN}` : `rejected: ${end.status}` };
    }
    const moved = this.#parameters.step();
    if (!Number.isFinite(dot(moved, moved))) return { status: "rejected: the update is not finite" };

    if (forget) this.#pairs.clear();
    const noisy = this.#noise.dominates(start.loss);
    this.#noise.record(start.loss, end.loss);
    const note = this.#learn(start, end, moved);
    if (end.status !== "ok")
      return { moved, end, status: `line search: ${end.status}; the best step is taken` };
    if (noisy) return { moved, end, status: smallBatches("L-BFGS") };
    return {
      ...{ moved, end },
      status: note ?? (forget ? "no lower loss by the pairs: forgotten, a gradient step instead" : "ok"),
    };
  }

  /** Searches along −Hg from the current parameters and leaves the result in the proposed ones. */
  async #search(
    batch: Batch,
    start: Evaluation,
    learningRate: number,
    pairs: LimitedMemory,
  ): Promise<Arrival> {
    const direction = pairs.direction(start.gradient);
    const slope = dot(direction, start.gradient);
    let last = { ...start, step: 0 };
    const evaluate = async (step: number) => {
      this.#parameters.propose(direction, step);
      last = { ...(await this.#at(batch)), step };
      return { value: last.loss, slope: dot(direction, last.gradient) };
    };
    const { lineSearch } = this.#settings;
    if (lineSearch === "none") {
      const { value, slope: after } = await evaluate(learningRate);
      const finite = Number.isFinite(value) && Number.isFinite(after);
      return finite
        ? { ...last, status: "ok" }
        : { ...last, step: 0, status: "the loss after the step is not finite" };
    }
    const search = lineSearch === "armijo" ? armijo : strongWolfe;
    const rounding = lossRounding(start.loss, this.#problem);
    const { step, status } = await search(
      evaluate,
      { value: start.loss, slope },
      { initial: learningRate, rounding },
    );
    if (step > 0 && step !== last.step) await evaluate(step);
    return { ...last, step, status };
  }

  /** Takes in the pair of a step; in words where it could not. */
  #learn(start: Evaluation, end: Arrival, s: Float64Array): string | undefined {
    const y = Float64Array.from(end.gradient, (value, k) => value - start.gradient[k]);
    if (this.#settings.powell) damp(s, y, start.gradient, end.step);
    if (this.#pairs.learn(s, y)) return undefined;
    return "a pair is left out: the loss is not convex along the step";
  }

  #emptyMemory(): LimitedMemory {
    return new LimitedMemory(this.#parameters.size, this.#settings.memory, this.#problem.dtype);
  }

  /** Loss and gradient at the current parameters. */
  async #start(batch: Batch): Promise<Evaluation> {
    const known = this.#last.find(this.#parameters.current, batch);
    if (known) return known;
    this.#parameters.proposeCurrent();
    return this.#at(batch);
  }

  /** Loss and gradient at the proposed parameters. */
  async #at(batch: Batch): Promise<Evaluation> {
    const { loss, gradient } = await this.#evaluate.call(batch);
    return { loss: loss.data[0], gradient: gradient.data as FloatArray };
  }
}

const HIDDEN: LineSearchStatus = "no lower loss that rounding does not hide";

/** Powell's damping of y, in place; Bs = −αg. */
function damp(s: Float64Array, y: Float64Array, gradient: FloatArray, step: number): void {
  const along = dot(s, y);
  const model = -step * dot(s, gradient);
  if (along >= 0.2 * model) return;
  const share = (0.8 * model) / (model - along);
  for (let k = 0; k < y.length; k++) y[k] = share * y[k] - (1 - share) * step * gradient[k];
}
