/** The end of a comparison: who came out lowest. */
import pc from "picocolors";
import { headline, type Summary, summarize } from "../report/summary.ts";
import type { RunRecord } from "../training/run-folder.ts";
import { formatDuration, formatOptions, formatValue } from "./output.ts";
import { renderTable } from "./table.ts";

export interface Ranking {
  readonly table: Summary;
  /** The finding in a sentence or two. */
  readonly headline: string;
  /** One object for each run, the best first. */
  readonly results: readonly Readonly<Record<string, unknown>>[];
}

/** How many settings `--tune` tried of a run; `undefined` where it tried none. */
export type TrialCount = (run: RunRecord) => number | undefined;

/** Ranks runs as the report does: by final validation loss, diverged runs last. */
export function describeRanking(runs: readonly RunRecord[], trialsOf: TrialCount): Ranking {
  const table = summarize(runs);
  const results = table.ranking.map(({ run, last, diverged }, index) => ({
    ...{ rank: index + 1, run: run.name, optimizer: run.optimizer, options: run.options, status: run.status },
    ...{ diverged, epoch: last?.epoch, step: last?.step, seconds: last?.seconds, trainLoss: last?.trainLoss },
    ...{ validationLoss: last?.validationLoss, metric: last?.metric, trials: trialsOf(run) },
  }));
  return { table, headline: headline(table), results };
}

/** The ranking as a table for the terminal, the best run on top. */
export function rankingTable({ ranking, metricName }: Summary, trialsOf: TrialCount): string {
  const tuned = ranking.some(({ run }) => trialsOf(run) !== undefined);
  const rows = ranking.map(({ run, last, diverged }, index) => {
    const paint = diverged ? pc.dim : index === 0 ? pc.green : (text: string) => text;
    const { learningRate, damping, ...rest } = run.options;
    const cells = [
      String(index + 1),
      index === 0 && !diverged ? pc.bold(run.name) : run.name,
      formatValue(last?.validationLoss),
      formatValue(last?.trainLoss),
      ...(metricName === undefined ? [] : [formatValue(last?.metric?.value)]),
      last === undefined ? "–" : String(+last.epoch.toPrecision(3)),
      last === undefined ? "–" : formatDuration(last.seconds),
      ...(tuned ? [String(trialsOf(run) ?? "–")] : []),
      ...(run.restoredEpoch === undefined && run.status !== "finished"
        ? [run.status]
        : [formatOptions({ learningRate, damping, ...rest })]),
    ];
    return cells.map(paint);
  });
  const metric = metricName === undefined ? [] : [metricName];
  const headings = [
    "",
    "method",
    "validation loss",
    "training loss",
    ...metric,
    "epochs",
    "time",
    ...(tuned ? ["settings tried"] : []),
    "settings",
  ];
  const numeric = headings.flatMap((heading, index) => (/^(method|settings)$/.test(heading) ? [] : [index]));
  return renderTable(headings, rows, { numeric });
}
