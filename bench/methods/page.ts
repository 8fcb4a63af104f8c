/** docs/results.md: all tables, and how they came about. */
import { tuningGrid } from "../../src/cli/tuning.ts";
import { formatOption } from "../../src/report/format.ts";
import { duration, figure, markdownTable, percent, times } from "./markdown.ts";
import type { Plan } from "./plan.ts";
import type { Results } from "./results.ts";
import { type Combination, combine, isCut, type Line, type Standing, standings } from "./summary.ts";

export function resultsPage(results: Results): string {
  const combinations = combine(results);
  return `# Every method, tuned alike

Generated from [\`bench/results/methods.jsonl\`](../bench/results/methods.jsonl) by \`npm run bench:methods\`, which takes up what is missing there and writes this
page and the figures of [choosing.md](choosing.md). Whoever loses is shown losing.

${conditions(results)}

## Standings

${standingsTable(standings(combinations))}

Places are means over the combinations of task and network, 1 the best, by the loss on rows that nothing was chosen by and by the
loss on all training rows. *Time* is the median of the method's seconds until its training loss is where Adam's ends, over the seconds that Adam itself
takes; – where it does not get there in half of them. *A step* is the median over SGD's. *Near* and *diverged* are
shares of the settings tried: those that ended within 1.5 times the validation loss of the method's best one, and those that broke down. *Cut* counts the
combinations whose trainings ran into the limit.

${combinations.map((combination) => section(combination, results.plan)).join("\n\n")}
`;
}

function conditions({ plan, machine }: Results): string {
  const grid = Object.entries(tuningGrid).map(([name, values]) => `${name} ${values.join(", ")}`);
  return `- **Data**: 60 % of the rows to train on, 20 % to choose settings by, 20 % held out. Batches of 128, on ecoli of a quarter of the rows; tanh; float32.
- **Tuning**: ${plan.trials} trials of ${plan.trialSteps} steps for each method on each task and network: ${grid.join("; ")}. Methods without damping vary ε or the momentum
  in its place, and one with a single option of these takes 28 values of it. The lowest validation loss wins.
- **Training**: ${plan.steps} steps, at most ${plan.epochs} epochs, ${plan.seeds} times with other weights and batches; medians are shown. In trials and trainings the learning
  rate falls to a hundredth along a cosine. No early stopping: who overfits is shown overfitting.
- **Seconds** are of training steps alone; the loss over all training rows is looked at ${plan.evaluations} times, off the clock.
- **Limits**: no trial begins after ${plan.tuningSeconds} s, a training is cut after ${plan.trainingSeconds} s of steps, and no further one begins after ${plan.trainingSeconds / 2} s of them; the notes say where that happened.
- **Machine**: ${machine}.`;
}

function standingsTable(all: readonly Standing[]): string {
  const rows = all.map((one) => [
    one.method,
    one.rank.toFixed(1),
    String(one.wins),
    one.trainRank.toFixed(1),
    `${one.reached} of ${one.combinations}`,
    times(one.timeToAdam),
    times(one.stepCost),
    percent(one.near),
    percent(one.diverged),
    one.cut === 0 ? "" : String(one.cut),
  ]);
  const headings = ["method", "place, held out", "first", "place, training", "reaches Adam's loss", "time"];
  return markdownTable([...headings, "a step", "near", "diverged", "cut"], rows);
}

function section({ task, network, lines }: Combination, plan: Plan): string {
  const metric = lines.find((line) => line.metric)?.metric?.name ?? "metric";
  const headings = ["method", "held-out loss", metric, "training loss", "a step", "in all", "to Adam's loss"];
  const rows = lines.map((line) => [
    line.outcome.method,
    figure(line.heldOutLoss),
    figure(line.metric?.value ?? Number.NaN),
    figure(line.trainLoss),
    duration(line.stepSeconds),
    duration(line.seconds),
    duration(line.secondsToAdam),
    settings(line),
    notes(line, plan),
  ]);
  const table = markdownTable([...headings, "settings", "notes"], rows, ["settings", "notes"]);
  return `## ${task}, ${network === "4" ? "one hidden layer of 4" : `hidden layers ${network}`}\n\n${table}`;
}

function settings({ outcome: { options = {} } }: Line): string {
  return Object.entries(options)
    .map(([name, value]) => `${name} ${formatOption(value).replaceAll("|", "\\|")}`)
    .join(", ");
}

function notes(line: Line, plan: Plan): string {
  const { failure, trials, divergedTrials, trainings, plannedSteps } = line.outcome;
  if (failure !== undefined) return failure.replaceAll("|", "\\|");
  const steps = Math.min(...trainings.map((training) => training.steps));
  return [
    line.divergedTrainings > 0 && `${line.divergedTrainings} of ${trainings.length} trainings diverged`,
    isCut(line) && `cut after ${steps} of ${plannedSteps} steps`,
    trainings.length < plan.seeds && `${trainings.length} of ${plan.seeds} trainings`,
    trials < plan.trials && `${trials} of ${plan.trials} trials`,
    divergedTrials > 0 && `${divergedTrials} trials diverged`,
    line.rejected > 0 && `${line.rejected} steps rejected`,
  ]
    .filter(Boolean)
    .join("; ");
}
