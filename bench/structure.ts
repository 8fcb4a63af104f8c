/**
 * One of natgrad's methods as a contender, which also tells what its steps cost.
 *
 * Usage: node --import tsx bench/structure.ts PROBLEM METHOD [--source]
 */
import { DAMPING, LEARNING_RATE, MOMENTUM, REFRESH_EVERY } from "./cases.ts";
import { loadNatgrad, loadRuntimes, type Natgrad, prepareSteps } from "./natgrad.ts";
import { readProblem } from "./problem.ts";
import { type StepCosts, serve } from "./serve.ts";

/** A period of steps that would take longer is not run. */
const LONGEST_PERIOD_SECONDS = 60;
/** Of so many periods the shortest refresh counts, fewer where they take longer than so many seconds. */
const MOST_PERIODS = 5;
const TELLING_SECONDS = 2;

/** The method with its defaults, but everything periodic in one period, and steps as small as everywhere in this benchmark. */
function createOptimizer({ createOptimizer, findMethod }: Natgrad, name: string) {
  const { options, defaults } = findMethod(name);
  const periods = options
    .filter((option) => option.endsWith("Every"))
    .map((option) => [option, REFRESH_EVERY]);
  const wanted = {
    ...{ learningRate: LEARNING_RATE, momentum: MOMENTUM, ...Object.fromEntries(periods) },
    damping: Math.max(DAMPING, Number(defaults.damping ?? 0)),
  };
  const taken = Object.entries(wanted).filter(([option]) => options.includes(option));
  return createOptimizer(name, Object.fromEntries(taken));
}

async function main([path, name, ...flags]: string[]): Promise<void> {
  const source = flags.includes("--source");
  const natgrad = await loadNatgrad(source);
  const { countOperations, openRuntime } = await loadRuntimes(source);
  const { runtime, count } = countOperations(await openRuntime());
  const optimizer = createOptimizer(natgrad, name);
  const { trainer, step } = await prepareSteps(natgrad, readProblem(path), optimizer, { runtime });
  await trainer.prepare();

  const take = async () => {
    const { loss, accepted, status } = await step();
    if (!accepted) throw new Error(`a step was ${status}`);
    return loss;
  };
  const cost = async () => {
    const [flops, start] = [count.flops, performance.now()];
    await take();
    return { flops: count.flops - flops, seconds: (performance.now() - start) / 1000 };
  };
  const period = natgrad.findMethod(name).kind === "natural" ? REFRESH_EVERY : 1;
  checkLength({ refresh: await cost(), stale: await cost() }, period);
  let costs: StepCosts | undefined;
  const started = performance.now();
  for (
    let k = 0;
    k === 0 || (k < MOST_PERIODS && performance.now() - started < 1000 * TELLING_SECONDS);
    k++
  ) {
    for (let taken = 2; taken % period !== 0; taken++) await take();
    costs = lesser({ refresh: await cost(), stale: await cost() }, costs);
  }
  await serve(trainer.describe().join(", "), take, period, costs);
  trainer.dispose();
}

/** The costs with the shorter times; the counts are always the same. */
function lesser(one: StepCosts, other: StepCosts | undefined): StepCosts {
  const least = (phase: keyof StepCosts) =>
    other && other[phase].seconds < one[phase].seconds ? other[phase] : one[phase];
  return { refresh: least("refresh"), stale: least("stale") };
}

/** @throws Error with the estimate when a period would take too long */
function checkLength({ refresh, stale }: StepCosts, period: number): void {
  const seconds = refresh.seconds + (period - 1) * stale.seconds;
  if (seconds <= LONGEST_PERIOD_SECONDS) return;
  const operations = `${(stale.flops / 1e9).toFixed(1)} GFLOP a step, ${(refresh.flops / 1e9).toFixed(1)} with a refresh`;
  throw new Error(
    `${period} steps would take about ${Math.round(seconds)} s, the limit is ${LONGEST_PERIOD_SECONDS} s (${operations})`,
  );
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
