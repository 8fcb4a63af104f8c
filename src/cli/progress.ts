/** Progress on stderr: one bar for each run on a terminal, one line for each epoch elsewhere. */
import { MultiBar, type SingleBar } from "cli-progress";
import type { EpochRecord } from "../training/run-folder.ts";
import { formatDuration, formatValue } from "./output.ts";

/** How one run shows that it goes on. */
export interface RunProgress {
  /** @param fraction what is done, 0 to 1; @param text what is seen of it, in a few words */
  update(fraction: number, text: string): void;
  epoch(record: EpochRecord, epochs: number | undefined): void;
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
  readonly #clock = new RemainingTime();
  #fraction = 0;
  #loss = "";

  constructor(bar: SingleBar) {
    this.#bar = bar;
  }

  update(fraction: number, text: string): void {
    this.#show(fraction, [text, this.#loss, this.#clock.left(fraction)]);
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

function lineProgress(width: number): Progress {
  const write = (line: string) => void process.stderr.write(`${line}\n`);
  return {
    add(name) {
      const clock = new RemainingTime();
      let fraction = 0;
      return {
        update(done) {
          clock.left(done);
          fraction = done;
        },
        epoch(record, epochs) {
          const count = `epoch ${+record.epoch.toPrecision(4)}${epochs === undefined ? "" : `/${epochs}`}`;
          const parts = [count, describeEpoch(record), clock.left(fraction)];
          write(`${name.padEnd(width)}  ${parts.filter(Boolean).join("  ")}`);
        },
        finish: (text) => write(`${name.padEnd(width)}  ${text}`),
      };
    },
    note: write,
    stop() {},
  };
}

/** `loss 0.0312  rmse 1.26`: the validation loss where there is one. */
export function describeEpoch({ trainLoss, validationLoss, metric }: EpochRecord): string {
  const loss = `loss ${formatValue(trainLoss)}`;
  const validation = validationLoss === undefined ? "" : `validation ${formatValue(validationLoss)}`;
  return [loss, validation, metric ? `${metric.name} ${formatValue(metric.value)}` : ""]
    .filter(Boolean)
    .join("  ");
}

/** Estimates the time left from the time since the first update. */
class RemainingTime {
  #start: { time: number; fraction: number } | undefined;

  left(fraction: number): string {
    const time = performance.now();
    if (fraction === 0) this.#start = undefined; // tuning comes before training
    this.#start ??= { time, fraction };
    const done = fraction - this.#start.fraction;
    const elapsed = (time - this.#start.time) / 1000;
    if (done <= 0 || elapsed < 0.5) return "";
    const seconds = (elapsed * (1 - fraction)) / done;
    return seconds < 0.1 ? "" : `${formatDuration(seconds)} left`;
  }
}
