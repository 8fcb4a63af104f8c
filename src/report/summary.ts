/** What the runs say, computed: who ended lowest, by how much, and how soon. */
import { type EpochRecord, finalRecord, type RunRecord } from "../training/run-folder.ts";
import { countOf, formatNumber, formatSeconds } from "./format.ts";

/** The loss that decides: the validation loss when every run that ended well has one, else the training loss. */
export type LossField = "validationLoss" | "trainLoss";

export interface RunSummary {
  run: RunRecord;
  /** The run's place in the order it was given in: its color and symbol. */
  index: number;
  /** The run's name, with a number behind it where two runs share one. */
  label: string;
  /** The record of the model it ended with; none when no epoch was finished. */
  last: EpochRecord | undefined;
  /** True when it has no finite loss to end with. */
  diverged: boolean;
  /** The deciding loss at the end, NaN for a diverged run. */
  loss: number;
}

export interface Summary {
  /** Lowest final loss first, diverged runs last. */
  ranking: RunSummary[];
  lossField: LossField;
  /** `validation loss` or `training loss`. */
  lossName: string;
  /** The Adam run, the one with the lowest loss if there are several. */
  adam: RunSummary | undefined;
  /** The metric that the runs report, by the first that has one. */
  metricName: string | undefined;
}

/** Ranks the runs by their final loss. */
export function summarize(runs: readonly RunRecord[]): Summary {
  const labels = distinctLabels(runs);
  const lasts = runs.map(finalRecord);
  const converged = lasts.filter((last) => last !== undefined && Number.isFinite(last.trainLoss));
  const validated = converged.length > 0 && converged.every((last) => last?.validationLoss !== undefined);
  const lossField: LossField = validated ? "validationLoss" : "trainLoss";

  const ranking = runs.map((run, index): RunSummary => {
    const last = lasts[index];
    const loss = last?.[lossField] ?? Number.NaN;
    const diverged = !Number.isFinite(loss) || !Number.isFinite(last?.trainLoss);
    return { run, index, label: labels[index], last, diverged, loss: diverged ? Number.NaN : loss };
  });
  ranking.sort((a, b) => Number(a.diverged) - Number(b.diverged) || (a.diverged ? 0 : a.loss - b.loss));
  return {
    ranking,
    lossField,
    lossName: validated ? "validation loss" : "training loss",
    adam: ranking.find(({ run, diverged }) => run.optimizer === "adam" && !diverged),
    metricName: runs.flatMap(({ epochs }) => epochs).find(({ metric }) => metric)?.metric?.name,
  };
}

/** Training seconds at the end of the first epoch whose loss is at or below `target`; `undefined` when none is. */
export function secondsToReach(run: RunRecord, field: LossField, target: number): number | undefined {
  return run.epochs.find((record) => (record[field] ?? Number.NaN) <= target)?.seconds;
}

/** Whether a higher value of this metric is better. */
export function higherIsBetter(metricName: string): boolean {
  return /accuracy|precision|recall|f1|auc|r2|r²|score|likelihood/i.test(metricName);
}

/** The finding in a sentence or two. */
export function headline(summary: Summary): string {
  const { ranking } = summary;
  if (ranking.length === 0) return "There are no runs to report.";
  return ranking.length === 1 ? describeRun(summary) : compareRuns(summary);
}

function describeRun({
  ranking: [{ run, label, last, diverged, loss }],
  lossField,
  lossName,
}: Summary): string {
  if (last === undefined) return `${label} did not finish an epoch (${run.status}).`;
  if (diverged) {
    const finite = run.epochs.filter((record) => Number.isFinite(record.trainLoss)).at(-1);
    const until = finite
      ? `after epoch ${finite.epoch}, at a training loss of ${formatNumber(finite.trainLoss)}`
      : "at once";
    return `${label} diverged ${until}.`;
  }
  const first = run.epochs.find((record) => Number.isFinite(record[lossField]));
  const spent = `${countOf(last.epoch, "epoch")} and ${formatSeconds(last.seconds)} of training`;
  if (first === undefined || first === last)
    return `${label}: ${lossName} ${formatNumber(loss)} after ${spent}.`;
  const start = first.epoch === 0 ? "before training" : `after epoch ${first.epoch}`;
  const change = `from ${formatNumber(first[lossField]!)} ${start} to ${formatNumber(loss)}`;
  return `${label} brought the ${lossName} ${change}, in ${spent}.`;
}

function compareRuns(summary: Summary): string {
  const { ranking, lossName } = summary;
  const lost = ranking.filter(({ diverged }) => diverged);
  const [winner, second] = ranking.filter(({ diverged }) => !diverged);
  if (winner === undefined) return `None of the ${ranking.length} runs ended with a finite loss.`;
  if (second === undefined) {
    const rest = `the only one of ${ranking.length} runs that ended with a finite loss`;
    return `${winner.label} is ${rest}: ${lossName} ${formatNumber(winner.loss)} after ${formatSeconds(winner.last!.seconds)}.`;
  }
  const sentences = [compareLosses(winner, second, lossName), compareTimes(summary, winner, second)];
  if (lost.length > 0) sentences.push(`Without a finite loss: ${lost.map(({ label }) => label).join(", ")}.`);
  return sentences.filter(Boolean).join(" ");
}

function compareLosses(winner: RunSummary, second: RunSummary, lossName: string): string {
  const values = `${formatNumber(winner.loss)} against ${formatNumber(second.loss)}`;
  if (winner.loss === second.loss) {
    return `${winner.label} and ${second.label} end level at a ${lossName} of ${formatNumber(winner.loss)}.`;
  }
  if (winner.loss <= 0) {
    const lead = formatNumber(second.loss - winner.loss);
    return `${winner.label} ends with the lowest ${lossName}, ${lead} below ${second.label} (${values}).`;
  }
  const ratio = second.loss / winner.loss;
  if (ratio < 1.01) {
    const lead = (100 * (1 - 1 / ratio)).toPrecision(1);
    return `${winner.label} and ${second.label} are practically level: ${lossName} ${values}, ${lead} % apart.`;
  }
  const lead =
    ratio >= 2
      ? `${ratio.toFixed(ratio < 10 ? 1 : 0)} times lower than`
      : `${(100 * (1 - 1 / ratio)).toFixed(0)} % below`;
  return `${winner.label} ends with the lowest ${lossName}, ${lead} ${second.label} (${values}).`;
}

/** How soon the winner was where Adam, or else the second, ended. */
function compareTimes({ adam, lossField }: Summary, winner: RunSummary, second: RunSummary): string {
  const rival = adam && adam !== winner ? adam : second;
  const reached = secondsToReach(winner.run, lossField, rival.loss);
  if (reached === undefined) return "";
  const needed = secondsToReach(rival.run, lossField, rival.loss) ?? rival.last!.seconds;
  return `It was below the final loss of ${rival.label} after ${formatSeconds(reached)} of training; ${rival.label} took ${formatSeconds(needed)}.`;
}

function distinctLabels(runs: readonly RunRecord[]): string[] {
  const seen = new Map<string, number>();
  return runs.map(({ name }) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}
