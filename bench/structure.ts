/**
 * One of natgrad's methods as a contender, which also tells what its steps cost.
 *
 * Usage: node --import tsx bench/structure.ts PROBLEM METHOD [--source]
 */
import { DAMPING, LEARNING_RATE, MOMENTUM, REFRESH_EVERY, SHORT_PERIOD } from "./cases.ts";
import { loadNatgrad, loadRuntimes, type Natgrad, prepareSteps } from "./natgrad.ts";
import { PhaseClock } from "./phases.ts";
import { type LoadedProblem, readProblem } from "./problem.ts";
import { ProfilingRuntime, type StepProfile } from "./profile.ts";
import { serve } from "./serve.ts";

/** A period of steps that would take longer is cut short: what conjugate gradients take grows as training on one batch goes on. */
const LONGEST_PERIOD_SECONDS = 10;
/** Steps without a refresh whose kernels are profiled, fewer in a short period. */
const PROFILED_STEPS = 30;

/** The method with its defaults, but everything periodic in one period, and steps as small as everywhere in this benchmark. */
function createOptimizer({ createOptimizer, findMethod }: Natgrad, name: string, period: number) {
  const { options, defaults } = findMethod(name);
  const periods = options.filter((option) => option.endsWith("Every")).map((option) => [option, period]);
  const wanted = {
    ...{ learningRate: LEARNING_RATE, momentum: MOMENTUM, ...Object.fromEntries(periods) },
    damping: Math.max(DAMPING, Number(defaults.damping ?? 0)),
  };
  const taken = Object.entries(wanted).filter(([option]) => options.includes(option));
  return createOptimizer(name, Object.fromEntries(taken));
}

interface Subject {
  readonly natgrad: Natgrad;
  readonly problem: LoadedProblem;
  readonly method: string;
}

type Runtime = NonNullable<NonNullable<Parameters<Natgrad["createTrainer"]>[1]>["runtime"]>;

/** A trainer ready to step, and a function that takes a step, whose loss it returns. */
async function start({ natgrad, problem, method }: Subject, period: number, runtime: Runtime) {
  const optimizer = createOptimizer(natgrad, method, period);
  const { trainer, step } = await prepareSteps(natgrad, problem, optimizer, { runtime });
  await trainer.prepare();
  const take = async () => {
    const { loss, accepted, status } = await step();
    if (!accepted) throw new Error(`a step was ${status}`);
    return loss;
  };
  return { trainer, take };
}

/** Starts with whole periods, or with short ones where whole ones would take too long. */
async function startTimed(subject: Subject, clock: PhaseClock, runtime: Runtime) {
  const natural = subject.natgrad.findMethod(subject.method).kind === "natural";
  const whole = await startPeriod(subject, natural ? REFRESH_EVERY : 1, clock, runtime);
  if (whole.seconds <= LONGEST_PERIOD_SECONDS) return whole;
  whole.trainer.dispose();
  const short = await startPeriod(subject, SHORT_PERIOD, clock, runtime);
  if (short.seconds <= LONGEST_PERIOD_SECONDS) return short;
  const limit = `the limit is ${LONGEST_PERIOD_SECONDS} s`;
  throw new Error(`${SHORT_PERIOD} steps would take about ${Math.round(short.seconds)} s, ${limit}`);
}

/** A trainer that has taken its first steps, and how long a period of them takes. */
async function startPeriod(subject: Subject, period: number, clock: PhaseClock, runtime: Runtime) {
  const { trainer, take } = await start(subject, period, runtime);
  let taken = 0;
  const timed = () => clock.take(period > 1 && taken++ % period === 0 ? "refresh" : "stale", take);
  clock.restart();
  for (let k = 0; k < Math.min(period, 2); k++) await timed();
  const { refresh, stale } = clock.read();
  return { trainer, period, take: timed, seconds: refresh.seconds + (period - 1) * stale.seconds };
}

/** The kernels of a step without a refresh. */
async function profile(subject: Subject, period: number, threads: number): Promise<StepProfile> {
  const runtime = new ProfilingRuntime(threads);
  try {
    const { trainer, take } = await start(subject, period, runtime);
    await take();
    if (period !== SHORT_PERIOD) await take();
    runtime.phase = "stale";
    const steps = period === SHORT_PERIOD ? SHORT_PERIOD - 1 : PROFILED_STEPS;
    for (let k = 0; k < steps; k++) await take();
    const profile = runtime.profile("stale", steps);
    trainer.dispose();
    return profile;
  } finally {
    runtime.dispose();
  }
}

async function main([path, method, ...flags]: string[]): Promise<void> {
  const source = flags.includes("--source");
  const { openRuntime } = await loadRuntimes(source);
  const subject = { natgrad: await loadNatgrad(source), problem: readProblem(path), method };
  const clock = new PhaseClock();
  const runtime = clock.watch(await openRuntime());
  const { trainer, period, take } = await startTimed(subject, clock, runtime);
  const telling = { clock, profile: await profile(subject, period, runtime.threads) };
  for (let k = Math.min(period, 2); k < period; k++) await take();
  await serve(trainer.describe().join(", "), take, period, telling);
  trainer.dispose();
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
