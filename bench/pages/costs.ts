/**
 * What steps of a method compute and keep on a wide network, counted in its compiled programs: equal on every machine, but for
 * the iterations of methods that solve by them.
 */
import {
  categorical,
  createTrainer,
  dense,
  findMethod,
  type Optimizer,
  Random,
  relu,
  sequential,
  tensor,
} from "../../src/index.ts";
import { openRuntime, type Runtime } from "../../src/runtime/index.ts";
import { networks, SAMPLES } from "../cases.ts";
import { markdownTable } from "../methods/markdown.ts";
import { PhaseClock, type PhaseCosts } from "../phases.ts";

/** Of one method, or why there is none. */
export interface MethodCosts {
  readonly refusal?: string;
  /** Floating-point operations of a step with a refresh and of one without; the two are one where nothing is refreshed. */
  readonly refresh?: number;
  readonly stale?: number;
  /** Products with the curvature matrix in a step without a refresh, where it is solved by them. */
  readonly products?: number;
  /** Bytes of all arrays that programs are bound to: parameters and state, both twice, what a refresh keeps, the batch. */
  readonly bytes?: number;
}

export type Costs = Readonly<Record<string, MethodCosts>>;

const { widths } = networks.auto;
/** λ of the methods that have one, so that no factorization has to be tried again. */
const DAMPING = 1;
/** Small enough that no step is rejected. */
const LEARNING_RATE = 1e-4;
/** Steps between refreshes: what a step computes does not depend on it, and few have to be taken. */
const PERIOD = 2;
/** The first step, whose preparations are none of later ones, is left out; of the others some refresh and some do not. */
const STEPS = 4;

/** Counts a method's steps on 784-1000-1000-10 with its default Fisher. */
export async function countMethod(name: string): Promise<MethodCosts> {
  const { kind } = findMethod(name);
  const own = await openRuntime();
  const { runtime, bytes } = watchArrays(own);
  const clock = new PhaseClock();
  try {
    const model = sequential(
      widths.slice(1).flatMap((units, l) => (l === 0 ? [dense(units)] : [relu(), dense(units)])),
    );
    const problem = { model, likelihood: categorical(), inputShape: [widths[0]], batchSize: SAMPLES };
    const config = { ...problem, optimizer: createOptimizer(name) };
    const trainer = await createTrainer(config, { runtime: clock.watch(runtime) });
    const steps: PhaseCosts[] = [];
    for (let k = 0; k < STEPS; k++) {
      clock.restart();
      const { accepted, status } = await clock.take("stale", () =>
        trainer.step(randomBatch(kind === "full-batch" ? 0 : k)),
      );
      if (!accepted) throw new Error(status);
      steps.push(clock.read().stale);
    }
    trainer.dispose();
    const { stale, refresh } = phasesOf(name, steps);
    const products = kind === "natural" ? stale.repeated?.runs : undefined;
    return {
      ...{ refresh: rounded(refresh.flops), stale: rounded(stale.flops) },
      ...(products && { products }),
      bytes: rounded(bytes()),
    };
  } catch (error) {
    return { refusal: (error as Error).message };
  } finally {
    own.dispose();
  }
}

/** Four digits: what a page shows, and not every small operation that comes or goes. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** Natural gradients refresh at even steps; others at steps of their own, which take more. */
function phasesOf(name: string, [, first, even, odd]: readonly PhaseCosts[]) {
  if (findMethod(name).kind === "natural") return { refresh: even, stale: odd };
  const ordered = [first, even, odd].sort((a, b) => a.flops - b.flops);
  return { refresh: ordered[2], stale: ordered[0] };
}

function createOptimizer(name: string): Optimizer {
  const { kind, options, create } = findMethod(name);
  if (kind === "full-batch") return create({});
  const periods = options.filter((option) => option.endsWith("Every")).map((option) => [option, PERIOD]);
  const wanted = {
    learningRate: LEARNING_RATE,
    momentum: 0.9,
    damping: DAMPING,
    ...Object.fromEntries(periods),
  };
  return create(Object.fromEntries(Object.entries(wanted).filter(([option]) => options.includes(option))));
}

function randomBatch(index: number) {
  const random = new Random(0).fork(`batch ${index}`);
  const draw = (count: number, next: () => number) => Array.from({ length: count }, next);
  const classes = widths[widths.length - 1];
  return {
    inputs: tensor(Float32Array.from(draw(SAMPLES * widths[0], () => random.normal())), [SAMPLES, widths[0]]),
    targets: tensor(Int32Array.from(draw(SAMPLES, () => Math.floor(classes * random.uniform()))), [SAMPLES]),
  };
}

/** A runtime that notes the memory its programs are bound to. */
function watchArrays(runtime: Runtime): { runtime: Runtime; bytes: () => number } {
  const memory = new Set<ArrayBufferLike>();
  const { kind, device, threads } = runtime;
  const watching: Runtime = {
    ...{ kind, device, threads },
    describe: () => runtime.describe(),
    dispose: () => runtime.dispose(),
    load: async (model) => {
      const session = await runtime.load(model);
      return {
        kind: session.kind,
        dispose: () => session.dispose(),
        bind(feeds, fetches) {
          for (const { buffer } of [...Object.values(feeds), ...Object.values(fetches)]) memory.add(buffer);
          return session.bind(feeds, fetches);
        },
      };
    },
  };
  return { runtime: watching, bytes: () => [...memory].reduce((sum, buffer) => sum + buffer.byteLength, 0) };
}

/** The part of a page about a method's counted costs, SGD's beside. */
export function costsText(name: string, costs: Costs): string {
  const own = costs[name];
  const network = `${widths.join("-")} with a batch of ${SAMPLES}`;
  if (own.refusal !== undefined) return `On ${network}: none, ${own.refusal}.`;
  const { kind, options } = findMethod(name);
  const periodic = kind !== "full-batch" && options.some((option) => option.endsWith("Every"));
  const row = (what: string, flops: number, bytes: string) => {
    return [what, gigaflops(flops), (flops / costs.sgd.stale!).toFixed(2), bytes];
  };
  const megabytes = ({ bytes }: MethodCosts) => String(Math.round(bytes! / 1e6));
  const rows = periodic
    ? [row("step with a refresh", own.refresh!, megabytes(own)), row("step between", own.stale!, "")]
    : [row("step", own.stale!, megabytes(own))];
  if (name !== "sgd") rows.push(row("[sgd](sgd.md) with momentum", costs.sgd.stale!, megabytes(costs.sgd)));
  const iterations = own.products ? ` A step took ${own.products} products with the curvature matrix.` : "";
  return [
    `Counted on ${network} in float32; what the host computes between programs is not among the operations, nor its memory among the bytes.${iterations}`,
    "",
    markdownTable(["", "GFLOP", "of SGD's", "MB kept"], rows),
  ].join("\n");
}

function gigaflops(flops: number): string {
  return (flops / 1e9).toFixed(flops < 1e10 ? 2 : 1);
}
