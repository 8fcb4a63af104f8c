/** What steps with a refresh and steps without one take, and which part of it goes to compiled programs. */

type Runtimes = typeof import("../src/runtime/index.ts");
type Runtime = Awaited<ReturnType<Runtimes["openRuntime"]>>;
type Model = Parameters<Runtime["load"]>[0];

/** Means of the steps of a phase. */
export interface PhaseCosts {
  readonly seconds: number;
  /** Of them in compiled programs; the rest is the host's. */
  readonly programSeconds: number;
  /** Floating-point operations of the programs. */
  readonly flops: number;
  /** The program that ran most often, where one ran more than once in a step: runs per step, operations of one. */
  readonly repeated?: { readonly runs: number; readonly flops: number };
}

export interface Phases {
  readonly refresh: PhaseCosts;
  readonly stale: PhaseCosts;
}

interface Sums {
  steps: number;
  seconds: number;
  programSeconds: number;
  readonly runs: Map<Model, number>;
}

/** Times steps by phase; the runtime it makes has to be theirs. */
export class PhaseClock {
  #sums: Record<keyof Phases, Sums> = newSums();
  #phase: keyof Phases = "refresh";

  /** A runtime whose runs are counted and timed. */
  watch(runtime: Runtime): Runtime {
    const { kind, device, threads } = runtime;
    return {
      ...{ kind, device, threads },
      describe: () => runtime.describe(),
      dispose: () => runtime.dispose(),
      load: async (model) => {
        const session = await runtime.load(model);
        return {
          kind: session.kind,
          dispose: () => session.dispose(),
          bind: (feeds, fetches) => {
            const binding = session.bind(feeds, fetches);
            return { run: () => this.#time(model, () => binding.run()), dispose: () => binding.dispose() };
          },
        };
      },
    };
  }

  /** Takes a step of a phase. */
  async take<T>(phase: keyof Phases, step: () => Promise<T>): Promise<T> {
    this.#phase = phase;
    const start = performance.now();
    const result = await step();
    this.#sums[phase].seconds += (performance.now() - start) / 1000;
    this.#sums[phase].steps++;
    return result;
  }

  restart(): void {
    this.#sums = newSums();
  }

  /** Means since the last start; those of a phase without steps are those of the other. */
  read(): Phases {
    const { refresh, stale } = this.#sums;
    return {
      refresh: means(refresh.steps > 0 ? refresh : stale),
      stale: means(stale.steps > 0 ? stale : refresh),
    };
  }

  #time(model: Model, run: () => void | Promise<void>): void | Promise<void> {
    const sums = this.#sums[this.#phase];
    sums.runs.set(model, (sums.runs.get(model) ?? 0) + 1);
    const start = performance.now();
    const end = () => {
      sums.programSeconds += (performance.now() - start) / 1000;
    };
    const running = run();
    if (running) return running.then(end);
    end();
  }
}

function newSums(): Record<keyof Phases, Sums> {
  const sums = () => ({ steps: 0, seconds: 0, programSeconds: 0, runs: new Map<Model, number>() });
  return { refresh: sums(), stale: sums() };
}

function means({ steps, seconds, programSeconds, runs }: Sums): PhaseCosts {
  const counted = [...runs].map(([{ flops }, count]) => ({ runs: count / steps, flops }));
  const most = counted.reduce((a, b) => (b.runs > a.runs ? b : a), { runs: 0, flops: 0 });
  return {
    seconds: seconds / steps,
    programSeconds: programSeconds / steps,
    flops: counted.reduce((total, { runs, flops }) => total + runs * flops, 0),
    ...(most.runs > 1 && { repeated: most }),
  };
}
