/**
 * The map g ↦ (F̃ + λI)⁻¹ g by itself, with the curvature of one batch, for gradients of any origin.
 *
 * Training has no use for it, since its programs hold the gradient, the map and the update together; it is for those who
 * look at what a structure makes of curvature. The programs here are traced from each block's `stale` direction, a linear
 * map for all structures that keep an inverse; those that solve by conjugate gradients solve anew for every gradient, from zero.
 */
import type { CurvatureBlock, RefreshOutcome } from "../../curvature/block.ts";
import { blockParameters } from "../../curvature/partition.ts";
import type { CurvatureRow } from "../../curvature/report.ts";
import { RunError, UsageError } from "../../errors.ts";
import { type LayerScores, type LayerVector, transposedSum } from "../../fisher/index.ts";
import { input, multiply } from "../../graph/index.ts";
import type { Tap } from "../../nn/index.ts";
import { compile } from "../../runtime/program.ts";
import type { Binding } from "../../runtime/session.ts";
import {
  allocate,
  type NamedTensors,
  type NamedTensorsLike,
  sizeOf,
  type Tensor,
  type TypedArray,
  toNamedTensors,
} from "../../tensor.ts";
import type { Problem } from "../optimizer.ts";
import { traceBatch } from "../program/traced-batch.ts";
import { collect, type Directions, slotName } from "./directions.ts";
import type { NaturalPlan } from "./natural-plan.ts";

/** One compiled map: factors of gradients in, directions out. */
interface CompiledMap {
  /** By layer. */
  readonly factors: ReadonlyMap<string, Factors>;
  readonly direction: NamedTensors;
  /** Solves for the gradient, where that takes the host. */
  solve?(): Promise<void>;
  readonly binding: Binding;
  dispose(): void;
}

/** A gradient (1/R) δᵀā of one layer as so many rows. */
interface Factors {
  readonly tap: Tap;
  readonly rows: number;
  /** a, (R, F); ā has the tap's β behind. */
  readonly inputs: TypedArray;
  /** δ, (R, O). */
  readonly deltas: TypedArray;
}

/** Rows whose scores make a unit vector: one less another that differs from it in one input. */
const PAIR = 2;

export class DirectionMap {
  /** λ of the map: the one asked for, or a multiple of it where a factorization failed. */
  readonly damping: number;
  /** What the refresh had to say, in words. */
  readonly note?: string;
  readonly curvature: readonly CurvatureRow[];
  /** Whether every gradient is solved for by itself, so that columns of the inverse are dear. */
  readonly iterative: boolean;
  /** Whether the inverse is learned from steps, so that without `continued` there is nothing in it yet. */
  readonly learns: boolean;
  readonly #problem: Problem;
  readonly #plan: NaturalPlan;
  readonly #maps = new Map<number, Promise<CompiledMap>>();
  readonly #columns = new Map<string, Promise<CompiledMap>>();

  /** Use `Method.directionMap`. The plan belongs to the map from here on. */
  constructor(problem: Problem, plan: NaturalPlan, { damping, note }: RefreshOutcome) {
    this.#problem = problem;
    this.#plan = plan;
    this.damping = damping;
    this.note = note;
    this.curvature = plan.blocks.map(({ report }) => report);
    this.learns = plan.learns;
    this.iterative = plan.blocks.some((block) => block.iterative);
  }

  /**
   * The direction that a gradient leads to.
   *
   * @param gradient by parameter name; of the blocks that it touches, parameters that are not named count as zero
   * @returns the direction of every parameter of those blocks, in new arrays; everywhere else it is zero
   * @throws UsageError for a name or a shape that the model does not have; RunError when conjugate gradients break down
   */
  async apply(gradient: NamedTensorsLike): Promise<NamedTensors> {
    const given = this.#check(toNamedTensors(gradient));
    const direction: NamedTensors = new Map();
    for (const [b, { layers }] of this.#plan.blocks.entries()) {
      if (!blockParameters(layers).some((name) => given.has(name))) continue;
      const map = await this.#map(b);
      for (const factors of map.factors.values()) loadGradient(factors, given);
      await map.solve?.();
      await map.binding.run();
      for (const [name, { shape, data }] of map.direction) direction.set(name, { shape, data: data.slice() });
    }
    return direction;
  }

  /**
   * The column of the inverse that belongs to one parameter of a layer, its part in that layer: (F̃ + λI)⁻¹e without the
   * zeros of e being multiplied, for its factors go in, and without the other layers.
   *
   * @param column of W̄ = [W b]: an input of the unit, or the number of inputs for its bias
   * @returns the layer's parameters by name, in arrays that the next call overwrites
   * @throws UsageError where every gradient is solved for by itself
   */
  async inverseColumn(layer: string, unit: number, column: number): Promise<NamedTensors> {
    if (this.iterative) throw new UsageError("there is no inverse: every gradient is solved for by itself");
    const { factors, direction, binding } = await this.#mapOfColumns(layer);
    loadUnitVector(factors.get(layer)!, unit, column);
    await binding.run();
    return direction;
  }

  /** Releases the programs and the curvature. */
  dispose(): void {
    for (const map of [...this.#maps.values(), ...this.#columns.values()]) {
      map.then((one) => one.dispose()).catch(() => {});
    }
    this.#maps.clear();
    this.#columns.clear();
    this.#plan.dispose();
  }

  #check(gradient: NamedTensors): NamedTensors {
    for (const [name, { data }] of gradient) {
      const spec = this.#problem.model.parameters.get(name);
      if (!spec) throw new UsageError(`unknown parameter ${name}`);
      const size = sizeOf(spec.shape);
      if (data.length !== size) {
        throw new UsageError(`invalid gradient of ${name}: ${data.length} numbers (must be ${size})`);
      }
    }
    return gradient;
  }

  #map(b: number): Promise<CompiledMap> {
    let map = this.#maps.get(b);
    if (map === undefined) {
      const { layers } = this.#plan.blocks[b];
      map = this.#compile(b, layers, ({ preactivations }) => preactivations.shape[1] + 1);
      this.#maps.set(b, map);
    }
    return map;
  }

  #mapOfColumns(name: string): Promise<CompiledMap> {
    let map = this.#columns.get(name);
    if (map === undefined) {
      const of = ({ layer }: { readonly layer: string }) => layer === name;
      const b = this.#plan.blocks.findIndex(({ layers }) => layers.some(of));
      if (b < 0) throw new UsageError(`unknown layer ${name}`);
      map = this.#compile(b, this.#plan.blocks[b].layers.filter(of), () => PAIR);
      this.#columns.set(name, map);
    }
    return map;
  }

  /**
   * @param wanted layers of the block whose directions come out
   * @param rowsOf rows of the factors that gradients of a layer go in by
   */
  async #compile(
    b: number,
    wanted: CurvatureBlock["layers"],
    rowsOf: (tap: Tap) => number,
  ): Promise<CompiledMap> {
    const { runtime, model, dtype } = this.#problem;
    const block = this.#plan.blocks[b];
    const { taps } = traceBatch(this.#problem, 1).forward;
    const factors = new Map<string, Factors>();
    const scores = block.layers.map(({ layer }): LayerScores => {
      const tap = taps.find((one) => one.layer === layer)!;
      if (tap.kind !== "linear") {
        throw new UsageError(`a direction map takes dense layers only, and layer ${layer} is a ${tap.kind}`);
      }
      const rows = rowsOf(tap);
      const shapes = { inputs: [rows, tap.inputs.shape[1]], deltas: [rows, tap.preactivations.shape[1]] };
      const arrays = {
        inputs: allocate(dtype, sizeOf(shapes.inputs)),
        deltas: allocate(dtype, sizeOf(shapes.deltas)),
      };
      factors.set(layer, { tap, rows, ...arrays });
      const inputs = input(rowsName(layer, "inputs"), shapes.inputs, dtype);
      const deltas = input(rowsName(layer, "deltas"), shapes.deltas, dtype);
      return { ...tap, inputs, deltas, rowsPerSample: 1 };
    });
    const feeds = slotArrays(this.#plan, b);
    for (const [layer, { inputs, deltas }] of factors) {
      Object.assign(feeds, { [rowsName(layer, "inputs")]: inputs, [rowsName(layer, "deltas")]: deltas });
    }
    const gradient = scores.map((layer) => {
      return transposedSum({ ...layer, deltas: multiply(layer.deltas, 1 / layer.deltas.shape[0]) });
    });
    const result = block.stale(gradient, this.#plan.slotInputs(b), scores);
    const outputs: Directions = new Map();
    const own = wanted.map(({ layer }) => result[block.layers.findIndex((other) => other.layer === layer)]);
    collect(outputs, { ...block, layers: wanted }, own);
    const direction: NamedTensors = new Map(
      [...outputs.keys()].map((name) => {
        const { shape } = model.parameters.get(name)!;
        return [name, { shape, data: allocate(dtype, sizeOf(shape)) }];
      }),
    );
    const program = await compile(runtime, Object.fromEntries(outputs));
    const binding = program.bind(feeds, arraysOf(direction));
    const iterative = block.iterative && (await this.#compileSolve(b, gradient, feeds));
    return {
      ...{ factors, direction, binding, solve: iterative?.solve },
      dispose() {
        program.dispose();
        iterative?.flatten.dispose();
      },
    };
  }

  async #compileSolve(b: number, gradient: readonly LayerVector[], feeds: Record<string, TypedArray>) {
    const { iterative, memory = [] } = this.#plan.blocks[b];
    const flat = { [slotName(b, "gradient")]: iterative!.flatten(gradient) };
    const flatten = await compile(this.#problem.runtime, flat);
    const binding = flatten.bind(feeds, slotArrays(this.#plan, b));
    const iterations = await this.#plan.iterations(b);
    const slots = this.#plan.slots[b];
    const solve = async () => {
      await binding.run();
      for (const name of memory) slots[name].fill(0); // no warm start: the order must not matter
      const { failure } = await iterative!.solve(iterations, slots, this.damping);
      if (failure !== undefined) throw new RunError(failure);
    };
    return { flatten, solve };
  }
}

/**
 * Fills factors with the gradient of a layer: one row for each unit, which also brings β for the unit's bias, and one row that
 * takes these from the biases' own gradients.
 *
 *   [W b] = [I; c]ᵀ [W β; 0 β],   c = b/β − 1
 *
 * The units' rows are scaled to the size of the gradient, so that the difference loses no digits.
 */
function loadGradient({ tap, rows, inputs, deltas }: Factors, gradient: NamedTensors): void {
  const units = rows - 1;
  const weight = gradient.get(tap.weight)?.data;
  const bias = tap.bias === undefined ? undefined : gradient.get(tap.bias)?.data;
  inputs.fill(0);
  deltas.fill(0);
  const size = Math.max(largest(weight), largest(bias));
  if (size === 0) return;
  for (let k = 0; weight && k < weight.length; k++) inputs[k] = weight[k] / size;
  for (let unit = 0; unit < units; unit++) {
    deltas[unit * units + unit] = rows * size;
    if (tap.bias !== undefined) {
      deltas[units * units + unit] = rows * ((bias ? bias[unit] / tap.biasInput : 0) - size);
    }
  }
}

function largest(values: ArrayLike<number> = []): number {
  let most = 0;
  for (let k = 0; k < values.length; k++) most = Math.max(most, Math.abs(values[k]));
  return most;
}

/**
 * Fills a pair of factors so that (1/2) δᵀā is the unit vector of one parameter: of a weight (e_i, β) and −(0, β), both in
 * the unit's row, of a bias (0, β) alone.
 */
function loadUnitVector({ tap, inputs, deltas }: Factors, unit: number, column: number): void {
  const [features, units] = [inputs.length / PAIR, deltas.length / PAIR];
  inputs.fill(0);
  deltas.fill(0);
  if (column === features) {
    deltas[unit] = PAIR / tap.biasInput;
    return;
  }
  inputs[column] = 1;
  deltas[unit] = PAIR;
  if (tap.bias !== undefined) deltas[units + unit] = -PAIR;
}

function rowsName(layer: string, factor: "inputs" | "deltas"): string {
  return `rows/${layer}/${factor}`;
}

/** What a block's direction reads: its slots and moving averages. */
function slotArrays({ slots, averages }: NaturalPlan, b: number): Record<string, TypedArray> {
  const own = Object.entries(slots[b]).map(([name, array]) => [slotName(b, name), array] as const);
  return { ...averages.buffer.current, ...Object.fromEntries(own) };
}

function arraysOf(tensors: ReadonlyMap<string, Tensor>): Record<string, TypedArray> {
  return Object.fromEntries([...tensors].map(([name, { data }]) => [name, data]));
}
