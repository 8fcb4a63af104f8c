/**
 * The moving averages of a method's blocks, X ← εX + (1 − ε)X_new.
 *
 * They have a double buffer of their own, for not every step updates them: it changes sides when a step that took statistics
 * is accepted. A rejected step leaves it alone, as it leaves the parameters. What blocks let evolve is kept with them.
 */
import type {
  AverageArrays,
  CurvatureBlock,
  SlotArrays,
  SlotSpec,
  SlotSymbols,
} from "../../curvature/block.ts";
import type { Averaging } from "../../curvature/structure.ts";
import { add, input, multiply, type SymbolicTensor, subtract } from "../../graph/index.ts";
import { allocate, type FloatDType, type NamedTensors, type TypedArray } from "../../tensor.ts";
import { DoubleBuffer } from "../program/double-buffer.ts";
import { NEXT } from "../program/step-program.ts";

/** ε as programs are fed it. */
const EPSILON = "averageDecay";

export class MovingAverages {
  readonly buffer: DoubleBuffer;
  /** What programs are fed beside the buffer. */
  readonly scalars: Readonly<Record<string, TypedArray>>;
  /** Updates that accepted steps made. */
  updates = 0;
  readonly #averaging: Averaging | undefined;
  readonly #dtype: FloatDType;
  /** By block, then by the buffer's front. */
  readonly #arrays: AverageArrays[][] = [];

  constructor(blocks: readonly CurvatureBlock[], averaging: Averaging | undefined, dtype: FloatDType) {
    const specs = blocks.flatMap((block, b) =>
      Object.entries(averageSpecs(block)).map(([name, spec]) => [averageName(b, name), spec] as const),
    );
    this.buffer = new DoubleBuffer(new Map(specs));
    this.scalars = { [EPSILON]: allocate(dtype, 1) };
    this.#averaging = averaging;
    this.#dtype = dtype;
  }

  /** Whether there are any. */
  get exist(): boolean {
    return this.buffer.specs.size > 0;
  }

  /** Steps between updates that no refresh makes. */
  get every(): number {
    return this.#averaging?.every ?? Infinity;
  }

  /** Writes ε of the update that is to come. */
  begin(): void {
    if (this.#averaging) this.scalars[EPSILON][0] = this.#averaging.decay(this.updates + 1);
  }

  accept(): void {
    this.buffer.accept();
    this.updates++;
  }

  /** Makes current what settled after a refresh, and nothing else: what the direction of that step reads. */
  settle(blocks: readonly CurvatureBlock[]): void {
    for (const [b, block] of blocks.entries()) {
      const { current, next } = this.arrays(b, block);
      for (const name of Object.keys(block.settled?.specs ?? {})) current[name].set(next[name]);
    }
  }

  /** Traces the update of some of a block's averages. */
  trace(b: number, values: SlotSymbols): SlotSymbols {
    const epsilon = input(EPSILON, [], this.#dtype);
    const share = subtract(1, epsilon);
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => {
        const kept = input(averageName(b, name), value.shape, value.dtype);
        return [name, add(multiply(kept, epsilon), multiply(value, share))];
      }),
    );
  }

  /** Traces the update of all averages of a block by its batch; the refreshed slots may be those of another. */
  traceAll(
    b: number,
    { averages, settled, statistics }: CurvatureBlock,
    refreshed: SlotSymbols,
  ): SlotSymbols {
    return this.trace(b, { ...averages, ...settled?.trace({ ...refreshed, ...statistics }) });
  }

  /** In words why what a step proposes cannot be used. */
  refusal(blocks: readonly CurvatureBlock[]): string | undefined {
    for (let b = 0; b < blocks.length; b++) {
      const refused = blocks[b].refusal?.(this.arrays(b, blocks[b]).next);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  /** A block's current averages as inputs of a program, or the `proposed/` ones. */
  inputs(b: number, block: CurvatureBlock, prefix = ""): SlotSymbols {
    return Object.fromEntries(
      Object.entries(averageSpecs(block)).map(([name, { shape, dtype }]) => {
        return [name, input(prefix + averageName(b, name), shape, dtype)];
      }),
    );
  }

  /** A block's arrays, the same objects on every step with the same side in front. */
  arrays(b: number, block: CurvatureBlock): AverageArrays {
    const { front } = this.buffer;
    this.#arrays[b] ??= [];
    return (this.#arrays[b][front] ??= this.#pick(b, block));
  }

  #pick(b: number, block: CurvatureBlock): AverageArrays {
    const of = (side: Readonly<Record<string, TypedArray>>): SlotArrays =>
      Object.fromEntries(Object.keys(averageSpecs(block)).map((name) => [name, side[averageName(b, name)]]));
    return { current: of(this.buffer.current), next: of(this.buffer.proposed) };
  }

  /** Continues from saved averages, their names after `prefix`; false where they are not of these blocks. */
  restore(saved: NamedTensors, prefix: string, updates: number): boolean {
    for (const [name, own] of Object.entries(this.buffer.current)) {
      const tensor = saved.get(prefix + name);
      if (tensor?.data.length !== own.length) return false;
      own.set(tensor.data);
    }
    this.updates = updates;
    return true;
  }
}

/** Updated averages as outputs of a program. */
export function averageOutputs(b: number, updated: SlotSymbols): Record<string, SymbolicTensor> {
  return Object.fromEntries(
    Object.entries(updated).map(([name, node]) => [NEXT + averageName(b, name), node]),
  );
}

function averageSpecs(block: CurvatureBlock): Readonly<Record<string, SlotSpec>> {
  return { ...block.averages, ...block.settled?.specs, ...block.evolving };
}

function averageName(b: number, name: string): string {
  return `average/${b}/${name}`;
}
