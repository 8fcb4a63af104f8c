/** Times all contenders on one case and method, by turns, so that whatever else the machine does hits them alike. */
import { Contender, type ContenderDefinition } from "./contender.ts";

export interface Timing {
  readonly name: string;
  readonly engine: ContenderDefinition["engine"];
  readonly description: string;
  /** Microseconds per step in each round. */
  readonly rounds: readonly number[];
  /** The least of the rounds: the one that was disturbed least. */
  readonly minimum: number;
  readonly median: number;
}

export interface MeasureOptions {
  /** How long a contender runs in one round. */
  readonly seconds: number;
  /** Most rounds; fewer where they take long. */
  readonly rounds: number;
  /** Takes a line for people about a contender that failed or does other work than natgrad. */
  readonly note: (line: string) => void;
}

/** Compilers, caches and thread pools settle for this long before the first round. */
const WARM_UP_SECONDS = 0.4;

/** No further round starts after this long, but two rounds are always run. */
const LONGEST_SECONDS = 30;

/** Losses of the first steps may differ by rounding only; the optimizers amplify that a little. */
const LOSS_TOLERANCE = 1e-3;

export async function measure(
  definitions: readonly ContenderDefinition[],
  problem: string,
  { seconds, rounds, note }: MeasureOptions,
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
    const times = accepted.map((): number[] => []);
    for (const contender of accepted) await contender.run(WARM_UP_SECONDS);
    const start = performance.now();
    for (let round = 0; round < rounds; round++) {
      if (round >= 2 && performance.now() - start > 1000 * LONGEST_SECONDS) break;
      for (const [k, contender] of accepted.entries()) times[k].push(await contender.run(seconds));
    }
    return accepted.map(({ definition: { name, engine }, introduction: { description } }, k) => {
      const sorted = [...times[k]].sort((a, b) => a - b);
      return { name, engine, description, rounds: times[k], minimum: sorted[0], median: middle(sorted) };
    });
  } finally {
    for (const contender of contenders) contender.stop();
  }
}

function agrees({ definition, introduction }: Contender, first: Contender, note: (line: string) => void) {
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
