/**
 * The programs of a natural-gradient method for one batch size.
 *
 * - `statistics`: loss, scores, moving averages, what the host factorizes, the gradient where something needs it
 * - `fresh`: direction of the refresh batch from the slots, what settles with it, and the update
 * - `stale`: loss, gradient, direction by kept slots and the update, in one program, with moving averages or without
 * - `observation`: the proposed parameters on the same batch, for blocks that learn from steps
 * - `gradient`: for blocks that the host solves on every step
 */
import type { CurvatureBlock, SlotArrays, SlotSymbols } from "../../curvature/block.ts";
import { blockParameters } from "../../curvature/partition.ts";
import { type FisherType, type LayerScores, traceLoss, traceScores } from "../../fisher/index.ts";
import { input, type NamedOutputs, type SymbolicTensor } from "../../graph/index.ts";
import type { Random } from "../../random.ts";
import { BoundedCache } from "../../runtime/bounded-cache.ts";
import { allocate, type NamedTensors, sizeOf, type Tensor, type TypedArray } from "../../tensor.ts";
import type { InPlace, InPlaceStep } from "../first-order/in-place.ts";
import type { Problem } from "../optimizer.ts";
import type { DoubleBuffer } from "../program/double-buffer.ts";
import { PROPOSED, StepProgram } from "../program/step-program.ts";
import {
  type BatchArrays,
  type TracedBatch,
  traceBuffers,
  traceNamedGradient,
} from "../program/traced-batch.ts";
import { traceQuadraticModel } from "../step-rules/quadratic-model.ts";
import {
  allOf,
  collect,
  type Directions,
  factorName,
  gradientInputs,
  gradientName,
  layerVector,
  slotInputs,
  slotName,
} from "./directions.ts";
import { CompiledIterations } from "./iterations.ts";
import { averageOutputs, MovingAverages } from "./moving-averages.ts";
import type { NaturalSettings } from "./natural-method.ts";
import { traceDisplacements, traceNaturalStep } from "./natural-step.ts";
import { traceObservation, traceProposedLoss } from "./observation.ts";
import { allocatePlan, hostBytes } from "./plan-arrays.ts";
import { type Draws, traceBlocks } from "./traced-blocks.ts";

/** The score rows that are the gradients of the batch's own losses. */
const LOSS_GRADIENTS: FisherType = { type: "empirical", draws: 0 };

/** Refresh batches whose stale programs are kept. */
const CACHED_STALE_PROGRAMS = 4;

/** A program that proposes a step: in the other side of the double buffer, or to be committed. */
export type UpdateProgram = StepProgram | InPlaceStep;

export class NaturalPlan {
  readonly samples: number;
  /** The damping that the slots were refreshed with. */
  damping = 0;
  readonly batch: BatchArrays;
  /** Scalars that programs write: loss, and what quadratic models of a step say. */
  readonly results: Readonly<Record<string, TypedArray>>;
  readonly blocks: readonly CurvatureBlock[];
  /** Arrays of each block's slots. */
  readonly slots: readonly SlotArrays[];
  /** Noise, or the given targets, of each draw. */
  readonly draws: readonly TypedArray[];
  readonly averages: MovingAverages;

  readonly #problem: Problem;
  readonly #settings: NaturalSettings;
  readonly #state: DoubleBuffer;
  readonly #traced: TracedBatch;
  readonly #sampledTargets: readonly SymbolicTensor[];
  readonly #arrays: Record<string, TypedArray>;
  /** What refreshes take in float64. */
  readonly #hostBytes: number;
  readonly #programs = new Map<string, Promise<StepProgram>>();
  /** By the number of the block. */
  readonly #iterations = new Map<number, Promise<CompiledIterations>>();
  /** By the plan whose slots they are bound to, without and with moving averages. */
  readonly #stale = new BoundedCache<NaturalPlan, UpdateProgram>(CACHED_STALE_PROGRAMS);
  readonly #averaging = new BoundedCache<NaturalPlan, UpdateProgram>(CACHED_STALE_PROGRAMS);
  readonly #inPlace: InPlace | undefined;
  #fresh: Promise<UpdateProgram> | undefined;

  /**
   * @param averages those of the method; without them the plan has its own, which start from nothing
   * @param inPlace where steps are taken in place
   */
  constructor(
    problem: Problem,
    settings: NaturalSettings,
    state: DoubleBuffer,
    scalars: Readonly<Record<string, TypedArray>>,
    samples: number,
    draws: Draws,
    averages?: MovingAverages,
    inPlace?: InPlace,
  ) {
    this.#problem = problem;
    this.#inPlace = inPlace;
    this.#settings = settings;
    this.#state = state;
    this.samples = samples;
    const { traced, drawn, blocks } = traceBlocks(problem, settings, samples, draws);
    this.#traced = traced;
    this.#sampledTargets = drawn.map(({ targets }) => targets);
    this.blocks = blocks;
    this.averages = averages ?? new MovingAverages(blocks, settings.structure.averaging, problem.dtype);

    const {
      batch,
      draws: noise,
      slots,
      results,
      named,
    } = allocatePlan(problem, {
      ...{ traced, drawn, blocks, factors: this.#gradientFactors() },
      gradients: blocks.flatMap((_, b) => this.#gradientParameters(b)),
    });
    this.batch = batch;
    this.draws = noise;
    this.slots = slots;
    this.results = results;
    this.#arrays = { ...scalars, ...this.averages.scalars, ...named };
    this.#hostBytes = hostBytes(blocks);
  }

  /** A block's parameters whose gradient on the refresh batch is computed beside the statistics. */
  #gradientParameters(b: number): string[] {
    const all = this.#settings.klClip !== undefined;
    const { fresh, factored, iterative, layers } = this.blocks[b];
    return all || (!fresh && !factored) || iterative ? blockParameters(layers) : [];
  }

  /** Whether a block learns from the steps that refreshes lead to. */
  get learns(): boolean {
    return this.blocks.some(({ observation }) => observation);
  }

  /** Fills the noise of the Monte-Carlo draws. */
  drawNoise(random: Random): void {
    const { kind } = this.#problem.likelihood.noise(this.samples, this.#problem.model.outputShape[0]);
    for (const draw of this.draws) {
      for (let k = 0; k < draw.length; k++) draw[k] = kind === "normal" ? random.normal() : random.uniform();
    }
  }

  /** Takes the targets of the draws as given. */
  loadTargets(sampledTargets: readonly Tensor[]): void {
    for (const [k, array] of this.draws.entries()) array.set(sampledTargets[k].data);
  }

  statistics(): Promise<StepProgram> {
    return this.program("statistics", () => {
      const outputs: Record<string, SymbolicTensor> = { loss: this.#loss(), ...traceBuffers(this.#traced) };
      const gradient = traceNamedGradient(this.#problem.likelihood, this.#traced, { shared: true });
      this.blocks.forEach(({ statistics, averages = {} }, b) => {
        for (const [name, node] of Object.entries(statistics)) outputs[slotName(b, name)] = node;
        Object.assign(outputs, averageOutputs(b, this.averages.trace(b, averages)));
        this.#addGradient(outputs, b, gradient); // beside what else reads the layer's derivatives, which then are freed
      });
      for (const { layer, inputs, deltas } of this.#gradientFactors()) {
        outputs[factorName(layer, "inputs")] = inputs;
        outputs[factorName(layer, "deltas")] = deltas;
      }
      return outputs;
    });
  }

  /** Factors of the batch's gradient for the layers of factored blocks. */
  #gradientFactors(): LayerScores[] {
    const wanted = new Set(
      this.blocks.flatMap(({ factored, layers }) => (factored ? layers.map(({ layer }) => layer) : [])),
    );
    if (wanted.size === 0) return [];
    const { forward, targets } = this.#traced;
    const { layers } = traceScores(forward, this.#problem.likelihood, targets, LOSS_GRADIENTS);
    return layers.filter((layer) => layer.kind === "linear").filter(({ layer }) => wanted.has(layer));
  }

  /** The gradient alone, for the host's solvers between refreshes. */
  gradient(): Promise<StepProgram> {
    return this.program("gradient", () => {
      const outputs: Record<string, SymbolicTensor> = { loss: this.#loss(), ...traceBuffers(this.#traced) };
      const gradient = traceNamedGradient(this.#problem.likelihood, this.#traced);
      this.blocks.forEach((_, b) => {
        this.#addGradient(outputs, b, gradient);
      });
      return outputs;
    });
  }

  /** Update by the fresh direction. */
  fresh(): Promise<UpdateProgram> {
    if (!this.#fresh) {
      const { directions, settled } = this.#freshDirections();
      this.#fresh = this.#compileUpdate(
        settled,
        directions,
        () => gradientInputs(this.#problem),
        this.#arrays,
      );
    }
    return this.#fresh;
  }

  /** The fresh direction itself, without an update. */
  async freshDirection(): Promise<{ program: StepProgram; direction: NamedTensors }> {
    const { model, dtype } = this.#problem;
    const direction = new Map<string, Tensor>();
    for (const [name, { shape }] of model.parameters) {
      const data = allocate(dtype, sizeOf(shape));
      direction.set(name, { shape, data });
      this.#arrays[`direction/${name}`] = data;
    }
    const program = await this.program("direction", () => {
      const { directions, settled } = this.#freshDirections();
      const outputs = [...directions].map(([name, node]) => [`direction/${name}`, node] as const);
      return { ...settled, ...Object.fromEntries(outputs) };
    });
    return { program, direction };
  }

  /**
   * Gradient of this batch, direction by the slots of another plan, and the update, once it is compiled.
   *
   * @param averaging whether the batch enters the moving averages
   */
  staleOf(kept: NaturalPlan, averaging: boolean): UpdateProgram | undefined {
    return (averaging ? this.#averaging : this.#stale).get(kept);
  }

  compileStale(kept: NaturalPlan, averaging: boolean): Promise<UpdateProgram> {
    const arrays = { ...this.#arrays };
    kept.slots.forEach((slots, b) => {
      for (const [name, array] of Object.entries(slots)) arrays[slotName(b, name)] = array;
    });
    const { likelihood } = this.#problem;
    const { forward, targets } = this.#traced;
    const gradient = traceNamedGradient(likelihood, this.#traced, { shared: averaging });
    const traced = traceScores(forward, likelihood, targets, LOSS_GRADIENTS);
    const layers = traced.layers.filter((layer) => layer.kind === "linear");
    const directions: Directions = new Map();
    const averages: Record<string, SymbolicTensor> = {};
    kept.blocks.forEach((block, b) => {
      const own = block.layers.map((layer) => layerVector(layer, gradient));
      const factors = layers.filter(({ layer }) => block.layers.some((other) => other.layer === layer));
      const slots = kept.slotInputs(b);
      const updated = averaging ? this.averages.traceAll(b, this.blocks[b], slots) : {};
      Object.assign(averages, averageOutputs(b, updated));
      collect(directions, block, block.stale(own, { ...slots, ...updated }, allOf(factors, block)));
    });
    const outputs = { loss: this.#loss(), ...traceBuffers(this.#traced), ...averages };
    return (averaging ? this.#averaging : this.#stale).getOrCreate(kept, () =>
      this.#compileUpdate(outputs, directions, () => gradient, arrays),
    );
  }

  /** Averages that settle after a refresh, alone; none where no block has any. */
  settle(): Promise<StepProgram> | undefined {
    if (!this.blocks.some(({ settled }) => settled)) return undefined;
    return this.program("settle", () => this.#freshDirections().settled);
  }

  /** Takes over what outlives a refresh from the plan of the last one; zero where there is none. */
  startFrom(last: NaturalPlan | undefined): void {
    if (last === this) return;
    this.blocks.forEach(({ memory = [] }, b) => {
      for (const name of memory) {
        if (last) this.slots[b][name].set(last.slots[b][name]);
        else this.slots[b][name].fill(0);
      }
    });
  }

  /** Takes over the gradient that another plan computed of its batch. */
  takeGradient(other: NaturalPlan): void {
    this.slots.forEach((slots, b) => {
      slots.gradient.set(other.slots[b].gradient);
    });
    for (const parameter of this.blocks.flatMap((_, b) => this.#gradientParameters(b))) {
      const name = gradientName(parameter);
      this.#arrays[name].set(other.#arrays[name]);
    }
  }

  /** L(θ') of the proposed parameters, and what happens to the penalty. */
  proposedLoss(): Promise<StepProgram> {
    return this.program("proposed loss", (traced) =>
      traceProposedLoss(this.#problem, traced, this.#settings.weightDecay),
    );
  }

  /** As {@link proposedLoss}, with gᵀd and dᵀFd of the step. */
  quadraticModel(): Promise<StepProgram> {
    const { fisher, weightDecay } = this.#settings;
    return this.program("quadratic model", (traced) =>
      traceQuadraticModel(this.#problem, traced, fisher, this.#sampledTargets, weightDecay),
    );
  }

  /** What blocks learn from, of the proposed parameters on the same batch. */
  observation(): Promise<StepProgram> {
    return this.program("observation", (traced) => {
      const observed = traceObservation(
        this.#problem,
        traced,
        this.#settings,
        this.#sampledTargets,
        this.blocks,
      );
      const evolved = this.blocks.map((block, b) => {
        const averages = this.averages.inputs(b, block, PROPOSED);
        return averageOutputs(b, block.observation?.evolve?.(this.slotInputs(b), averages) ?? {});
      });
      return Object.assign(observed, ...evolved);
    });
  }

  /** What the solve of an iterative block repeats. */
  iterations(b: number): Promise<CompiledIterations> {
    let iterations = this.#iterations.get(b);
    if (!iterations) {
      const [block, slots] = [this.blocks[b], this.slotInputs(b)];
      iterations = CompiledIterations.compile(this.#problem, block, slots, this.#arrays, this.#hostBytes);
      this.#iterations.set(b, iterations);
    }
    return iterations;
  }

  dispose(): void {
    this.#stale.clear();
    this.#averaging.clear();
    this.#fresh?.then((compiled) => compiled.dispose()).catch(() => {});
    for (const program of [...this.#programs.values(), ...this.#iterations.values()]) {
      program.then((compiled) => compiled.dispose()).catch(() => {});
    }
  }

  #loss(): SymbolicTensor {
    return traceLoss(this.#traced.forward, this.#problem.likelihood, this.#traced.targets);
  }

  #addGradient(outputs: Record<string, SymbolicTensor>, b: number, gradient: Directions): void {
    const { iterative, layers } = this.blocks[b];
    for (const name of this.#gradientParameters(b)) outputs[gradientName(name)] = gradient.get(name)!;
    if (!iterative) return;
    outputs[slotName(b, "gradient")] = iterative.flatten(layers.map((layer) => layerVector(layer, gradient)));
  }

  /** Input nodes of a block's slots and moving averages, by their names. */
  slotInputs(b: number): SlotSymbols {
    return { ...slotInputs(b, this.blocks[b]), ...this.averages.inputs(b, this.blocks[b]) };
  }

  /** Directions of the refresh batch, and the averages that settle with them, as outputs. */
  #freshDirections(): { directions: Directions; settled: Record<string, SymbolicTensor> } {
    const directions: Directions = new Map();
    const settled: Record<string, SymbolicTensor> = {};
    const factorInputs = this.#gradientFactors().map((factors) => ({
      ...factors,
      inputs: input(factorName(factors.layer, "inputs"), factors.inputs.shape, factors.inputs.dtype),
      deltas: input(factorName(factors.layer, "deltas"), factors.deltas.shape, factors.deltas.dtype),
    }));
    this.blocks.forEach((block, b) => {
      const kept = this.slotInputs(b);
      const updated = this.averages.trace(b, block.settled?.trace(kept) ?? {});
      Object.assign(settled, averageOutputs(b, updated));
      const slots = { ...kept, ...updated };
      const result = block.fresh
        ? block.fresh(slots)
        : block.stale(
            block.layers.map((layer) => layerVector(layer, gradientInputs(this.#problem))),
            slots,
            block.factored
              ? block.layers.map(({ layer }) => factorInputs.find((other) => other.layer === layer)!)
              : undefined,
          );
      collect(directions, block, result);
    });
    return { directions, settled };
  }

  /** A program of the outputs and of the update by the directions. */
  #compileUpdate(
    outputs: NamedOutputs,
    directions: Directions,
    gradient: () => Directions,
    arrays: Record<string, TypedArray>,
  ): Promise<UpdateProgram> {
    if (this.#inPlace) {
      const displacements = traceDisplacements(this.#problem, directions);
      const options = { hostBytes: this.#hostBytes };
      return this.#inPlace.compile(outputs, displacements, this.#buffers(), arrays, options);
    }
    const update = traceNaturalStep(this.#problem, this.#settings, this.#traced, directions, gradient);
    return this.#compile({ ...outputs, ...update }, arrays);
  }

  #buffers(): DoubleBuffer[] {
    return [this.#state, this.averages.buffer];
  }

  /** A program on this batch, compiled when it is first asked for. */
  program(key: string, trace: (traced: TracedBatch) => NamedOutputs): Promise<StepProgram> {
    let program = this.#programs.get(key);
    if (!program) {
      program = this.#compile(trace(this.#traced), this.#arrays);
      this.#programs.set(key, program);
    }
    return program;
  }

  #compile(
    outputs: Record<string, SymbolicTensor>,
    arrays: Record<string, TypedArray>,
  ): Promise<StepProgram> {
    const options = { hostBytes: this.#hostBytes };
    return StepProgram.compile(this.#problem, outputs, this.#buffers(), arrays, options);
  }
}
