/** What the outcomes say: lines of each table, and the standing of each method over all of them. */
import type { Outcome, Results, Training } from "./results.ts";

/** One method on one task with one network; medians over its trainings. */
export interface Line {
  readonly outcome: Outcome;
  /** Infinite where it diverged or failed: it is ranked last. */
  readonly heldOutLoss: number;
  readonly trainLoss: number;
  readonly metric?: { readonly name: string; readonly value: number };
  readonly stepSeconds: number;
  readonly seconds: number;
  /** Seconds of steps until the training loss was where Adam's ended; infinite when it never was. */
  readonly secondsToAdam: number;
  readonly rejected: number;
  readonly divergedTrainings: number;
}

/** One task with one network: the lowest held-out loss first. */
export interface Combination {
  readonly task: string;
  readonly network: string;
  readonly kind: string;
  readonly lines: readonly Line[];
}

/** A method over all combinations that it took part in. */
export interface Standing {
  readonly method: string;
  readonly combinations: number;
  /** Mean places by held-out and by training loss, 1 the best. */
  readonly rank: number;
  readonly trainRank: number;
  /** First places by held-out loss. */
  readonly wins: number;
  /** In how many combinations it was where Adam ended. */
  readonly reached: number;
  /** Median of its seconds to Adam's loss over Adam's own; infinite when it did not get there in half of them. */
  readonly timeToAdam: number;
  /** Median of its seconds for a step over SGD's. */
  readonly stepCost: number;
  /** Shares of the settings tried that ended near the best of them, and that diverged. */
  readonly near: number;
  readonly diverged: number;
  /** Combinations in which its time was up before its steps were. */
  readonly cut: number;
}

export function combine({ outcomes }: Results): Combination[] {
  const groups = new Map<string, Outcome[]>();
  for (const outcome of outcomes) {
    const key = `${outcome.task} ${outcome.network}`;
    groups.set(key, [...(groups.get(key) ?? []), outcome]);
  }
  return [...groups.values()].map((group) => {
    const [{ task, network, kind }] = group;
    const adam = group.find(({ method }) => method === "adam");
    const target = adam ? median(adam.trainings.map(finalLoss)) : Number.NaN;
    const lines = group.map((outcome) => lineOf(outcome, target));
    lines.sort(by((line) => line.heldOutLoss));
    return { task, network, kind, lines };
  });
}

export function standings(combinations: readonly Combination[]): Standing[] {
  const methods = new Set(combinations.flatMap(({ lines }) => lines.map(({ outcome }) => outcome.method)));
  return [...methods].map((method) => standingOf(method, combinations)).sort(by(({ rank }) => rank));
}

/** Whether a training or the trials had to end before their steps were done. */
export function isCut({ outcome: { trainings, plannedSteps } }: Line): boolean {
  return trainings.some(({ steps, heldOutLoss }) => heldOutLoss !== null && steps < plannedSteps);
}

/** The middle value, of an even number the mean of the two; infinite values are the largest. NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort(by((value) => value));
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === high ? low : (low + high) / 2;
}

function lineOf(outcome: Outcome, adamLoss: number): Line {
  const { trainings } = outcome;
  const [first] = [...trainings].sort(by((training) => training.heldOutLoss ?? Infinity));
  const metrics = trainings.flatMap(({ metric }) => (metric ? [metric.value] : []));
  return {
    outcome,
    heldOutLoss: orWorst(median(trainings.map(({ heldOutLoss }) => heldOutLoss ?? Infinity))),
    trainLoss: orWorst(median(trainings.map(finalLoss))),
    metric: first?.metric ? { name: first.metric.name, value: median(metrics) } : undefined,
    stepSeconds: median(trainings.map(({ seconds, steps }) => seconds / steps)),
    seconds: median(trainings.map(({ seconds }) => seconds)),
    secondsToAdam: orWorst(median(trainings.map((training) => secondsTo(training, adamLoss)))),
    rejected: trainings.reduce((sum, { rejected }) => sum + rejected, 0),
    divergedTrainings: trainings.filter(({ heldOutLoss }) => heldOutLoss === null).length,
  };
}

function finalLoss({ trainLoss }: Training): number {
  return trainLoss ?? Infinity;
}

/** Seconds of steps until a look at the loss found it at or below `target`. */
function secondsTo({ curve, seconds, steps }: Training, target: number): number {
  const reached = curve.find(([, loss]) => loss !== null && loss <= target);
  return reached ? (reached[0] / steps) * seconds : Infinity;
}

function standingOf(method: string, combinations: readonly Combination[]): Standing {
  const own = combinations.flatMap((combination) => {
    const line = combination.lines.find(({ outcome }) => outcome.method === method);
    return line ? [{ line, combination }] : [];
  });
  const placed = own.map(({ line, combination: { lines } }) => {
    const other = (name: string) => lines.find(({ outcome }) => outcome.method === name);
    return {
      place: placeOf(line, lines, (one) => one.heldOutLoss),
      trainPlace: placeOf(line, lines, (one) => one.trainLoss),
      reached: Number.isFinite(line.secondsToAdam),
      time: line.secondsToAdam / finiteOf(other("adam")?.secondsToAdam),
      cost: line.stepSeconds / finiteOf(other("sgd")?.stepSeconds),
    };
  });
  const total = (count: (outcome: Outcome) => number) =>
    own.reduce((sum, { line }) => sum + count(line.outcome), 0);
  const trials = total((outcome) => outcome.trials);
  return {
    ...{ method, combinations: own.length },
    rank: mean(placed.map(({ place }) => place)),
    trainRank: mean(placed.map(({ trainPlace }) => trainPlace)),
    wins: placed.filter(({ place }, k) => place === 1 && Number.isFinite(own[k].line.heldOutLoss)).length,
    reached: placed.filter(({ reached }) => reached).length,
    timeToAdam: median(placed.map(({ time }) => time).filter((time) => !Number.isNaN(time))),
    stepCost: median(placed.map(({ cost }) => cost).filter(Number.isFinite)),
    near: trials === 0 ? 0 : total(({ nearTrials }) => nearTrials) / trials,
    diverged: trials === 0 ? 1 : total(({ divergedTrials }) => divergedTrials) / trials,
    cut: own.filter(({ line }) => isCut(line)).length,
  };
}

/** 1 for the lowest value; equal values share a place, those without one the last. */
function placeOf(line: Line, lines: readonly Line[], value: (line: Line) => number): number {
  if (!Number.isFinite(value(line))) return lines.length;
  return 1 + lines.filter((other) => value(other) < value(line)).length;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** NaN for what is infinite or not there: nothing can be compared with it. */
function finiteOf(value = Number.NaN): number {
  return Number.isFinite(value) ? value : Number.NaN;
}

function orWorst(value: number): number {
  return Number.isNaN(value) ? Infinity : value;
}

/** Ascending; infinities are equal to each other. */
function by<T>(value: (item: T) => number): (a: T, b: T) => number {
  return (a, b) => {
    const [first, second] = [value(a), value(b)];
    return first === second ? 0 : first - second;
  };
}
