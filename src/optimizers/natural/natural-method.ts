/** A natural-gradient optimizer at work: statistics, refresh, direction, update; damping adapted; state remembered. */
import type { RefreshOutcome } from "../../curvature/block.ts";
import type { CurvatureRow } from "../../curvature/report.ts";
import type { SolverOption } from "../../curvature/solver.ts";
import type { Structure } from "../../curvature/structure.ts";
import { requireOption, UsageError } from "../../errors.ts";
import type { FisherType } from "../../fisher/index.ts";
import { lapackInfo } from "../../linalg/index.ts";
import { BoundedCache } from "../../runtime/bounded-cache.ts";
import type { NamedTensors, TypedArray } from "../../tensor.ts";
import { InPlace, InPlaceStep, stepsInPlace } from "../first-order/in-place.ts";
import type { UpdateRule } from "../first-order/rule.ts";
import { loadScalars, stateSpecs, stepNorm, updateArrays } from "../first-order/update.ts";
import type {
  Batch,
  DirectionMapOptions,
  DirectionOptions,
  Method,
  MethodMemory,
  Problem,
  StepStatistics,
} from "../optimizer.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { loadBatch, loadBatchAhead } from "../program/traced-batch.ts";
import { type LearningRate, learningRateAt } from "../schedule.ts";
import { StepControl } from "../step-rules/step-control.ts";
import { type StepRule, usesNetwork } from "../step-rules/step-rule.ts";
import { reportWithPeaks } from "./block-memory.ts";
import type { DampingPolicy } from "./damping.ts";
import { DirectionMap } from "./direction-map.ts";
import type { MovingAverages } from "./moving-averages.ts";
import { NaturalPlan, type UpdateProgram } from "./natural-plan.ts";
import { combine, judge, NOT_FINITE } from "./outcome.ts";
import { savedSlots } from "./plan-arrays.ts";
import { carriedSpecs, type Draws, traceBlocks } from "./traced-blocks.ts";

export interface NaturalSettings {
  readonly structure: Structure;
  readonly fisher: FisherType;
  readonly solver: SolverOption;
  readonly damping: DampingPolicy;
  readonly refreshEvery: number;
  readonly klClip?: number;
  readonly rule: UpdateRule;
  readonly learningRate: LearningRate;
  readonly stepRule: StepRule;
  /** μ of SPRING's momentum; 0 without it. */
  readonly carry: number;
  readonly weightDecay: number;
}

/** Batch sizes whose programs and slots are kept. */
const CACHED_BATCH_SIZES = 4;

export class NaturalMethod implements Method {
  readonly state: DoubleBuffer;
  readonly #problem: Problem;
  readonly #settings: NaturalSettings;
  readonly #scalars: Record<string, TypedArray>;
  /** By batch size. */
  readonly #plans = new BoundedCache<number, NaturalPlan>(CACHED_BATCH_SIZES);
  /** The plan whose slots hold the curvature in use; none when the next step must refresh. */
  #kept: NaturalPlan | undefined;
  /** The plan refreshed last, whose memory the next refresh continues. */
  #last: NaturalPlan | undefined;
  /** Of all plans, since the first. */
  #averages: MovingAverages | undefined;
  /** Starting points of the iterative solves of this step, which a rejection puts back. */
  #solutions: { readonly slot: TypedArray; readonly before: TypedArray }[] = [];
  #step = 0;
  readonly #control: StepControl;
  readonly #inPlace: InPlace | undefined;
  /** What proposed the step under way. */
  #proposal: UpdateProgram | undefined;

  constructor(problem: Problem, settings: NaturalSettings) {
    this.#problem = problem;
    this.#settings = settings;
    const carried = settings.carry > 0 ? carriedSpecs(problem) : [];
    const inPlace = takesInPlace(problem, settings);
    this.state = new DoubleBuffer(new Map([...stateSpecs(problem, settings.rule), ...carried]), inPlace);
    this.#control = new StepControl(problem, settings);
    const { rule } = settings;
    const scalars = updateArrays(problem, rule);
    this.#scalars = { ...scalars, ...this.#control.arrays };
    if (inPlace) this.#inPlace = new InPlace({ problem, rule, state: this.state, scalars });
  }

  async prepare(samples: number): Promise<void> {
    lapackInfo(); // looks for the library, which takes a moment the first time
    const plan = await this.#createPlan(samples, "random");
    const programs: Promise<unknown>[] = [plan.statistics(), plan.fresh()];
    if (plan.learns) programs.push(plan.observation());
    if (this.#settings.refreshEvery > 1) {
      const iterative = plan.blocks.some((block) => block.iterative);
      programs.push(iterative ? plan.gradient() : plan.compileStale(plan, false));
      if (plan.averages.every < this.#settings.refreshEvery) programs.push(plan.compileStale(plan, true));
    }
    await Promise.all(programs);
  }

  async step(batch: Batch): Promise<StepStatistics> {
    const samples = batch.inputs.shape[0];
    const { rule, refreshEvery } = this.#settings;
    const plan = this.#planOf(samples) ?? (await this.#createPlan(samples, "random"));
    const step = this.#step;
    const control = this.#control;
    const rate = learningRateAt(this.#settings.learningRate, step);
    loadBatch(plan.batch, batch, this.#problem.random);
    loadScalars(this.#scalars, rule, step, rate);

    const { random } = this.#problem;
    const drawn = random.state();
    this.#solutions = [];
    const kept = this.#kept;
    const { averages } = plan;
    const raised = averages.exist && kept !== undefined && this.#control.damping > kept.damping;
    const due = step % refreshEvery === 0 || kept === undefined || raised;
    const averaging = averages.exist && (due || step % averages.every === 0);
    averages.begin();
    const outcome = due ? await this.#refreshAndStep(plan) : await this.#staleStep(plan, kept, averaging);
    const loss = plan.results.loss[0];
    const measurable = outcome.failure === undefined && !this.#inPlace;
    const norm = measurable ? stepNorm(this.#problem, this.state, this.#scalars) : 0;
    let status = judge(loss, norm, outcome, control.damping);
    let length = 1;
    if (!status.startsWith("rejected")) {
      const draw = () => (due || averaging ? undefined : plan.drawNoise(random));
      const verdict = await control.judge(plan, { index: step, loss, draw });
      length = verdict.length;
      status = verdict.status && verdict.status !== "ok" ? verdict.status : status;
      if (this.#proposal instanceof InPlaceStep && !(await this.#proposal.commit())) status = NOT_FINITE;
    }

    const accepted = !status.startsWith("rejected");
    if (accepted) {
      if (due && plan.learns) status = (await this.#observe(plan)) ?? status;
      if (!this.#inPlace) this.state.accept();
      if (averaging) averages.accept();
      this.#step++;
    } else {
      this.#kept = undefined; // what led to a step that was refused is not used again
      random.restore(drawn);
      for (const { slot, before } of this.#solutions) slot.set(before);
    }
    const { damping } = outcome;
    const used = { learningRate: rate, damping, ...(outcome.failure === undefined && control.used) };
    const learningRate = length * used.learningRate;
    const measure = this.#inPlace?.measure() ?? (() => length * norm);
    let measured = accepted ? undefined : 0;
    return {
      ...{ step, loss, ...used, learningRate, accepted, status },
      get stepNorm() {
        measured ??= measure();
        return measured;
      },
    };
  }

  async direction(batch: Batch, options: DirectionOptions = {}): Promise<NamedTensors> {
    const { plan } = await this.#refreshedPlan(batch, options, false);
    try {
      const { program, direction } = await plan.freshDirection();
      await program.run();
      requireUsable(plan);
      return direction;
    } finally {
      plan.dispose();
    }
  }

  async directionMap(batch: Batch, options: DirectionMapOptions = {}): Promise<DirectionMap> {
    const { plan, outcome } = await this.#refreshedPlan(batch, options, true);
    try {
      await (await plan.settle())?.run();
      requireUsable(plan);
      plan.averages.settle(plan.blocks);
      return new DirectionMap(this.#problem, plan, outcome);
    } catch (error) {
      plan.dispose();
      throw error;
    }
  }

  /** A plan of its own, refreshed on a batch; the training state is not touched. */
  async #refreshedPlan(
    batch: Batch,
    { sampledTargets, continued = false }: DirectionMapOptions,
    stale: boolean,
  ): Promise<{ plan: NaturalPlan; outcome: RefreshOutcome }> {
    const samples = batch.inputs.shape[0];
    const { fisher } = this.#settings;
    const given = sampledTargets !== undefined && fisher.type === "monte-carlo";
    requireOption(!given || sampledTargets.length > 0, "sampledTargets", "[]", "at least one draw");
    const { likelihood, model } = this.#problem;
    for (const drawn of given ? sampledTargets : []) likelihood.check(drawn, samples, model.outputShape[0]);
    const settings = {
      ...this.#settings,
      ...(given && { fisher: { ...fisher, draws: sampledTargets.length } }),
      // One refresh serves every gradient to come, and nothing but the gradient decides the direction.
      ...(stale && { refreshEvery: Number.POSITIVE_INFINITY, carry: 0 }),
    };
    const plan = this.#newPlan(samples, given ? "given" : "random", settings, undefined);
    try {
      const kept = this.#averages;
      if (continued && kept) plan.averages.restore(kept.buffer.snapshot(), "", kept.updates);
      plan.averages.begin();
      loadBatchAhead(plan.batch, batch, this.#problem.random);
      if (given) plan.loadTargets(sampledTargets);
      else this.#drawAhead(plan);
      await (await plan.statistics()).run();
      if (continued) plan.startFrom(this.#last);
      const outcome = await this.#refresh(plan, stale);
      if (outcome.failure !== undefined) throw new UsageError(outcome.failure);
      return { plan, outcome };
    } catch (error) {
      plan.dispose();
      throw error;
    }
  }

  curvature(batchSize: number): CurvatureRow[] {
    const { blocks, scores } = traceBlocks(this.#problem, this.#settings, batchSize, "random");
    return reportWithPeaks(blocks, scores);
  }

  remember(): MethodMemory {
    const last = this.#last;
    const stale = this.#settings.refreshEvery > 1 && this.#kept !== undefined;
    const tensors: NamedTensors = new Map();
    last?.blocks.forEach((block, b) => {
      for (const name of savedSlots(block, stale)) {
        const { shape } = block.statistics[name] ?? block.refreshed[name];
        tensors.set(`curvature/${b}/${name}`, { shape, data: last.slots[b][name].slice() });
      }
    });
    const updates = this.#averages?.updates;
    for (const [name, tensor] of updates ? this.#averages!.buffer.snapshot() : []) {
      tensors.set(`curvature/${name}`, tensor);
    }
    const samples = tensors.size > 0 ? last?.samples : undefined;
    const { damping, radius } = this.#control;
    const [step, slotDamping] = [this.#step, last?.damping];
    return { tensors, values: { step, damping, radius, stale, samples, slotDamping, updates } };
  }

  recall({ tensors, values }: MethodMemory): void {
    const stale = values.stale === true;
    const plan = values.samples
      ? this.#newPlan(Number(values.samples), "random", this.#settings, undefined)
      : undefined;
    const misfit = "the curvature saved is of another solver, Fisher type or structure";
    plan?.blocks.forEach((block, b) => {
      for (const name of savedSlots(block, stale)) {
        const saved = tensors.get(`curvature/${b}/${name}`);
        if (saved?.data.length !== plan.slots[b][name].length) {
          throw new UsageError(misfit);
        }
        plan.slots[b][name].set(saved.data);
      }
    });
    if (values.updates && !plan?.averages.restore(tensors, "curvature/", Number(values.updates))) {
      throw new UsageError(misfit);
    }
    this.#step = Number(values.step);
    this.#inPlace?.forget();
    this.#control.recall(values);
    this.#plans.clear();
    this.#last = plan;
    this.#averages = plan?.averages;
    this.#kept = stale ? plan : undefined;
    if (!plan) return;
    plan.damping = Number(values.slotDamping);
    void this.#plans.getOrCreate(plan.samples, () => plan);
  }

  dispose(): void {
    this.#plans.clear();
    this.#kept = undefined;
    this.#last = undefined;
  }

  async #refreshAndStep(plan: NaturalPlan): Promise<RefreshOutcome> {
    plan.drawNoise(this.#problem.random);
    const statistics = await plan.statistics();
    const running = statistics.run();
    if (running) await running;
    plan.startFrom(this.#last);
    this.#last = plan;
    const refreshing = this.#refresh(plan, this.#settings.refreshEvery > 1);
    const outcome = refreshing instanceof Promise ? await refreshing : refreshing;
    if (outcome.failure !== undefined) return outcome;
    plan.damping = outcome.damping;
    this.#kept = plan;
    this.#control.load(outcome.damping);
    const fresh = await plan.fresh();
    this.#proposal = fresh;
    const updating = fresh.run();
    if (updating) await updating;
    const failure = plan.averages.refusal(plan.blocks);
    return failure === undefined ? outcome : { ...outcome, failure };
  }

  /** @param averaging whether the batch enters the moving averages */
  async #staleStep(plan: NaturalPlan, kept: NaturalPlan, averaging: boolean): Promise<RefreshOutcome> {
    this.#planOf(kept.samples); // counts as a use: other batch sizes must not drive it out of the cache
    let outcome: RefreshOutcome = { damping: kept.damping, retries: 0 };
    const iterative = kept.blocks.some((block) => block.iterative);
    if (iterative) {
      await (await plan.gradient()).run();
      if (plan !== kept) kept.takeGradient(plan);
      outcome = await this.#iterate(kept);
      if (outcome.failure !== undefined) return outcome;
    }
    this.#control.load(outcome.damping);
    // The fresh program of another batch size has no place for this batch, which some step rules read.
    const fresh = iterative && (plan === kept || !usesNetwork(this.#settings.stepRule));
    if (averaging) plan.drawNoise(this.#problem.random);
    const update = fresh
      ? await kept.fresh()
      : (plan.staleOf(kept, averaging) ?? (await plan.compileStale(kept, averaging)));
    this.#proposal = update;
    const running = update.run();
    if (running) await running;
    const failure = averaging ? plan.averages.refusal(plan.blocks) : undefined;
    return failure === undefined ? outcome : { ...outcome, failure };
  }

  /** Runs every block's host phase, all at once; synchronous as long as every block is. */
  #refresh(plan: NaturalPlan, stale: boolean): RefreshOutcome | Promise<RefreshOutcome> {
    const outcomes = plan.blocks.map((block, b) => {
      const averages = plan.averages.arrays(b, block);
      return block.refresh(plan.slots[b], { damping: this.#control.damping, fresh: true, stale, averages });
    });
    const combined = outcomes.some((outcome) => outcome instanceof Promise)
      ? Promise.all(outcomes).then(combine)
      : combine(outcomes as RefreshOutcome[]);
    if (!plan.blocks.some((block) => block.iterative)) return combined;
    return Promise.resolve(combined).then(() => this.#iterate(plan));
  }

  async #iterate(plan: NaturalPlan): Promise<RefreshOutcome> {
    const outcomes: RefreshOutcome[] = [];
    for (let b = 0; b < plan.blocks.length; b++) {
      const { iterative } = plan.blocks[b];
      if (!iterative) continue;
      const slot = plan.slots[b].solution;
      this.#solutions.push({ slot, before: slot.slice() });
      const iterations = await plan.iterations(b);
      outcomes.push(await iterative.solve(iterations, plan.slots[b], this.#control.damping));
    }
    return combine(outcomes);
  }

  /** Lets blocks learn from a step that is about to be accepted; in words where they could not. */
  async #observe(plan: NaturalPlan): Promise<string | undefined> {
    await (await plan.observation()).run();
    const notes = plan.blocks.map(({ observation }, b) => observation?.learn(plan.slots[b]));
    return notes.find((note) => note !== undefined);
  }

  /** Draws what the next refresh would, and leaves the generator where it stands. */
  #drawAhead(plan: NaturalPlan): void {
    const { random } = this.#problem;
    const state = random.state();
    plan.drawNoise(random);
    random.restore(state);
  }

  #planOf(samples: number): NaturalPlan | undefined {
    return this.#plans.get(samples);
  }

  #createPlan(samples: number, draws: Draws): Promise<NaturalPlan> {
    return this.#plans.getOrCreate(samples, () => {
      const plan = this.#newPlan(samples, draws, this.#settings, this.#averages);
      this.#averages ??= plan.averages;
      return plan;
    });
  }

  #newPlan(samples: number, draws: Draws, settings: NaturalSettings, averages: MovingAverages | undefined) {
    const [problem, scalars] = [this.#problem, this.#scalars];
    return new NaturalPlan(problem, settings, this.state, scalars, samples, draws, averages, this.#inPlace);
  }
}

/** @throws UsageError where the averages that the batch makes cannot be used */
function requireUsable({ averages, blocks }: NaturalPlan): void {
  const refused = averages.refusal(blocks);
  if (refused !== undefined) throw new UsageError(refused);
}

/** Whether steps are taken in place: nothing looks at a proposed step before it counts, and its directions are used as they are. */
function takesInPlace(problem: Problem, settings: NaturalSettings): boolean {
  const { rule, carry, klClip, stepRule, damping, structure } = settings;
  const judged = usesNetwork(stepRule) || stepRule.rejectIncrease || damping.every > 0;
  return !judged && !structure.learns && carry === 0 && klClip === undefined && stepsInPlace(problem, rule);
}
