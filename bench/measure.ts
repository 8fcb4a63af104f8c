/** Times all contenders on one case and method, by turns, so that whatever else the machine does hits them alike. */
import { Contender, type ContenderDefinition } from "./contender.ts";
import type { Burst, Weighed } from "./serve.ts";

export interface Timing {
  readonly name: string;
  readonly engine: ContenderDefinition["engine"];
  readonly description: string;
  /** Microseconds per step in each round. */
  readonly rounds: readonly number[];
  /** The least of the rounds: the one that was disturbed least. */
  readonly minimum: number;
  readonly median: number;
  /** Seconds of a step with a refresh and of one without, where the time is their weighted mean: of the least round. */
  readonly weighed?: Weighed;
  readonly peakBytes: number;
}

export interface MeasureOptions {
  /** How long a contender runs in one round. */
  readonly seconds: number;
  /** Whether compilers, caches and thread pools get some time to settle first; the steps that are compared are enough where they are slow. */
  readonly warmUp: boolean;
  /** Most rounds; fewer where they take long. */
  readonly rounds: number;
  /** Takes a line for people about a contender that failed or does other work than natgrad. */
  readonly note: (line: string) => void;
}

const WARM_UP_SECONDS = 0.4;

/** No further round starts after this long, but two rounds are always run. */
const LONGEST_SECONDS = 30;

/** Losses of the first steps may differ by rounding only; the optimizers amplify that a little. */
const LOSS_TOLERANCE = 1e-3;

export async function measure(
  definitions: readonly ContenderDefinition[],
  problem: string,
  { seconds, rounds, warmUp, note }: MeasureOptions,
): Promise<Timing[]> {
  const contenders: Contender[] = [];
  try {
    for (const definition of definitions) {
      try {
        contenders.push(await Contender.start(definition, problem));
      } catch (error) {
        note(`${definition.name}: failed, ${(error as Error).message}`);
      }
    }
    const accepted = contenders.filter((contender) => agrees(contender, contenders[0], note));
    const bursts = accepted.map((): Burst[] => []);
    if (warmUp) for (const contender of accepted) await contender.run(WARM_UP_SECONDS);
    const start = performance.now();
    for (let round = 0; round < rounds; round++) {
      if (round >= 2 && performance.now() - start > 1000 * LONGEST_SECONDS) break;
      for (const [k, contender] of accepted.entries()) bursts[k].push(await contender.burst(seconds));
    }
    return accepted.map(({ definition: { name, engine }, introduction: { description } }, k) => {
      const times = bursts[k].map((burst) => (1e6 * burst.seconds) / burst.steps);
      const sorted = [...times].sort((a, b) => a - b);
      const { weighed } = bursts[k][times.indexOf(sorted[0])];
      const peakBytes = Math.max(...bursts[k].map((burst) => burst.peakBytes));
      const summary = { minimum: sorted[0], median: middle(sorted), weighed, peakBytes };
      return { name, engine, description, rounds: times, ...summary };
    });
  } finally {
    for (const contender of contenders) contender.stop();
  }
}

function agrees({ definition, introduction }: Contender, first: Contender, note: (line: string) => void) {
  if (definition.otherMethod) return true;
  const expected = first.introduction.losses;
  const step = introduction.losses.findIndex(
    (loss, k) => !(Math.abs(loss - expected[k]) <= LOSS_TOLERANCE * Math.abs(expected[k])),
  );
  if (step < 0) return true;
  const [own, other] = [introduction.losses[step], expected[step]];
  note(
    `${definition.name}: left out, its loss at step ${step} is ${own}, that of ${first.definition.name} ${other}`,
  );
  return false;
}

function middle(sorted: readonly number[]): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
