/** What goes where: results on stdout, progress on stderr, with `--json` one object a line on stdout. */

import { formatOption } from "../report/format.ts";

export interface Output {
  readonly json: boolean;
  /** A line for people, on stdout; nothing with `--json`. */
  print(line?: string): void;
  /** An object for programs, on stdout; nothing without `--json`. */
  event(object: Readonly<Record<string, unknown>>): void;
}

export function openOutput(json: boolean | undefined): Output {
  return {
    json: json === true,
    print: (line = "") => {
      if (!json) process.stdout.write(`${line}\n`);
    },
    event: (object) => {
      if (json) process.stdout.write(`${JSON.stringify(object)}\n`);
    },
  };
}

/** A reader that has seen enough (`natgrad methods | head -1`) is no failure. */
export function allowClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
}

/** `4 significant digits`, or a dash for what is not there. */
export function formatValue(value: number | undefined): string {
  if (value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(2) : String(+value.toPrecision(4));
}

/** `0.4 s`, `12 s`, `3 min 5 s`. */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `learningRate 0.1, damping 0.01`. */
export function formatOptions(options: Readonly<Record<string, unknown>>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key} ${typeof value === "object" ? `(${formatOption(value)})` : value}`)
    .join(", ");
}
