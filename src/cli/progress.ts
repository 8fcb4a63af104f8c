/** Progress on stderr: one bar for each run on a terminal; elsewhere one line for each epoch, and at least one every half minute. */
import { MultiBar, type SingleBar } from "cli-progress";
import type { EpochRecord } from "../training/run-folder.ts";
import { formatDuration, formatValue } from "./output.ts";
import type { TimeLeft } from "./pace.ts";
import type { StepProgress } from "./run.ts";

/** How one run shows that it goes on. */
export interface RunProgress {
  /**
   * @param fraction what is done, 0 to 1
   * @param text what is seen of it, in a few words
   * @param left until the end of the run, where it is known
   */
  update(fraction: number, text: string, left?: TimeLeft): void;
  epoch(record: EpochRecord, epochs: number | undefined, left?: TimeLeft): void;
  /** The run has ended, well or not. */
  finish(text: string): void;
}

export interface Progress {
  /** Announces a run; runs are listed in the order of their announcement. */
  add(name: string): RunProgress;
  /** A line that stays. */
  note(line: string): void;
  stop(): void;
}

/** @param names of the runs to come, so that columns line up */
export function openProgress(names: readonly string[]): Progress {
  const width = Math.max(0, ...names.map((name) => name.length));
  return process.stderr.isTTY ? barProgress(width) : lineProgress(width);
}

function barProgress(width: number): Progress {
  const bars = new MultiBar({
    format: "{name} {bar} {percent} {text}",
    barCompleteChar: "━",
    barIncompleteChar: "─",
    barsize: 24,
    hideCursor: true,
    gracefulExit: false,
    linewrap: false,
    stream: process.stderr,
  });
  const showCursor = () => process.stderr.write("\u001b[?25h");
  process.once("exit", showCursor); // a second Ctrl-C ends the process without a word
  return {
    add(name) {
      const label = name.padEnd(width);
      const bar = bars.create(1, 0, { name: label, percent: "  0 %", text: "" });
      return new BarRun(bar);
    },
    note: (line) => bars.log(`${line}\n`),
    stop() {
      bars.stop();
      process.off("exit", showCursor);
    },
  };
}

class BarRun implements RunProgress {
  readonly #bar: SingleBar;
  #fraction = 0;
  #loss = "";

  constructor(bar: SingleBar) {
    this.#bar = bar;
  }

  update(fraction: number, text: string, left?: TimeLeft): void {
    this.#show(fraction, [describeLeft(left), text, this.#loss]); // a narrow terminal cuts the end off
  }

  epoch(record: EpochRecord): void {
    this.#loss = describeEpoch(record);
  }

  finish(text: string): void {
    this.#show(this.#fraction, [text]);
  }

  #show(fraction: number, parts: readonly string[]): void {
    this.#fraction = fraction;
    const percent = `${Math.round(100 * fraction)} %`.padStart(5);
    this.#bar.update(fraction, { percent, text: parts.filter(Boolean).join(" · ") });
  }
}

/** Longest silence of a run that goes on, in milliseconds, where there is no terminal. */
const SILENCE = 30_000;

/** @param silence after so many milliseconds without a line one says where the run stands */
export function lineProgress(
  width: number,
  silence = SILENCE,
  write: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
): Progress {
  let status: (() => string) | undefined;
  let timer: NodeJS.Timeout | undefined;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => say(status), silence).unref();
  };
  const say = (line?: () => string) => {
    if (line) write(line());
    listen();
  };
  listen();
  return {
    add(name) {
      const line = (...parts: readonly string[]) => [name.padEnd(width), ...parts.filter(Boolean)].join("  ");
      return {
        update(_, text, left) {
          status = () => line(text, describeLeft(left));
        },
        epoch(record, epochs, left) {
          const count = `epoch ${+record.epoch.toPrecision(4)}${epochs === undefined ? "" : `/${epochs}`}`;
          status = () => line(count);
          say(() => line(count, describeEpoch(record), describeLeft(left)));
        },
        finish(text) {
          status = undefined;
          say(() => line(text));
        },
      };
    },
    note: (text) => say(() => text),
    stop: () => clearTimeout(timer),
  };
}

/** Epochs that take less than this many seconds are not shown step by step. */
const LONG_EPOCH = 10;

/** `epoch 3/10`, and within a long epoch `epoch 3/10, step 120/468, 1.3 s a step, 7 min 30 s to its end, batch loss 0.53`. */
export function describeStep(
  { epoch, batch, batches, statistics, left }: StepProgress,
  epochs: number | undefined,
): string {
  const count = `epoch ${epoch + 1}${epochs === undefined ? "" : `/${epochs}`}`;
  if (left.perStep * batches < LONG_EPOCH) return count;
  if (batch === batches) return `${count}, evaluating`;
  const isLast = epoch + 1 === epochs; // its end is the run's
  const pace = `${formatDuration(left.perStep)} a step${isLast ? "" : `, ${formatDuration(left.epoch)} to its end`}`;
  return `${count}, step ${batch}/${batches}, ${pace}, batch loss ${formatValue(statistics.loss)}`;
}

/** `1 h 3 min left`. */
function describeLeft(left: TimeLeft | undefined): string {
  return left === undefined || left.run < 0.1 ? "" : `${formatDuration(left.run)} left`;
}

/** `loss 0.0312  rmse 1.26`: the validation loss where there is one. */
export function describeEpoch({ trainLoss, validationLoss, metric }: EpochRecord): string {
  const loss = `loss ${formatValue(trainLoss)}`;
  const validation = validationLoss === undefined ? "" : `validation ${formatValue(validationLoss)}`;
  return [loss, validation, metric ? `${metric.name} ${formatValue(metric.value)}` : ""]
    .filter(Boolean)
    .join("  ");
}
