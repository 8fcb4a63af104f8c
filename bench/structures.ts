/**
 * What a step of every natural-gradient method costs beside natgrad's own SGD: times of whole periods of 100 steps, by turns with SGD;
 * counted operations; and, where a step takes more than 1.3 of SGD's, the reason in measured parts.
 */
import { fileURLToPath } from "node:url";
import Table from "cli-table3";
import { Contender, type ContenderDefinition } from "./contender.ts";
import { explain, type Measured, meanSeconds, milliseconds } from "./explain.ts";
import type { Phases } from "./phases.ts";
import type { StepProfile } from "./profile.ts";
import type { Burst } from "./serve.ts";
import { formatMicroseconds } from "./table.ts";

export interface StructureRow {
  readonly method: string;
  /** Why it was not timed; then nothing else is there. */
  readonly refusal?: string;
  /** Microseconds per step, a refresh spread over its period, the least of the rounds. */
  readonly microseconds?: number;
  /** To SGD's least. */
  readonly ratio?: number;
  /** Of that round. */
  readonly phases?: Phases;
  /** Kernels of a step without a refresh. */
  readonly profile?: StepProfile;
  /** Operations per step over SGD's: of a step without a refresh, of one with it. */
  readonly staleRatio?: number;
  readonly refreshRatio?: number;
  /** Why the ratio is above the bound, in words. */
  readonly reason?: string;
}

export interface StructureOptions {
  readonly seconds: number;
  readonly rounds: number;
  readonly source: boolean;
  /** Takes every row as soon as it is there. */
  readonly onRow: (row: StructureRow) => void;
}

/** From here on a row says why. */
const EXPLAINED_RATIO = 1.3;
/** A method that has not compiled and taken its first period by then is given up. */
const LONGEST_START_SECONDS = 300;
const WARM_UP_SECONDS = 0.2;

/** @param problem of the case, with any method */
export async function measureStructures(
  problem: string,
  names: readonly string[],
  options: StructureOptions,
): Promise<StructureRow[]> {
  const sgd = await start("sgd", problem, options.source);
  const rows: StructureRow[] = [];
  try {
    for (const name of names) {
      const row = await measureOne(name, problem, sgd, options);
      options.onRow(row);
      rows.push(row);
    }
  } finally {
    sgd.stop();
  }
  return rows;
}

async function measureOne(
  method: string,
  problem: string,
  sgd: Contender,
  { seconds, rounds, source }: StructureOptions,
): Promise<StructureRow> {
  let contender: Contender;
  try {
    contender = await start(method, problem, source);
  } catch (error) {
    return { method, refusal: (error as Error).message };
  }
  try {
    let [own, taken]: (Phases | undefined)[] = [];
    await sgd.run(WARM_UP_SECONDS);
    for (let round = 0; round < rounds; round++) {
      own = lesser(await sgd.burst(seconds), own);
      taken = lesser(await contender.burst(seconds), taken);
    }
    return rowOf(method, measured(contender, taken!), measured(sgd, own!));
  } finally {
    contender.stop();
  }
}

async function start(method: string, problem: string, source: boolean): Promise<Contender> {
  const script = [
    process.execPath,
    "--import",
    "tsx",
    fileURLToPath(new URL("structure.ts", import.meta.url)),
  ];
  const definition: ContenderDefinition = {
    ...{ name: method, engine: "natgrad" },
    command: (path) => [...script, path, method, ...(source ? ["--source"] : [])],
  };
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), 1000 * LONGEST_START_SECONDS);
  try {
    return await Contender.start(definition, problem, limit.signal);
  } catch (error) {
    if (!limit.signal.aborted) throw error;
    throw new Error(`it was not ready after ${LONGEST_START_SECONDS} s`);
  } finally {
    clearTimeout(timer);
  }
}

function lesser({ phases }: Burst, other: Phases | undefined): Phases {
  return other && meanSeconds(other) < meanSeconds(phases!) ? other : phases!;
}

function measured({ introduction }: Contender, phases: Phases): Measured {
  return { phases, profile: introduction.profile! };
}

function rowOf(method: string, own: Measured, sgd: Measured): StructureRow {
  const { stale, refresh } = own.phases;
  const seconds = meanSeconds(own.phases);
  const ratio = seconds / meanSeconds(sgd.phases);
  return {
    ...{ method, microseconds: 1e6 * seconds, ratio, ...own },
    staleRatio: stale.flops / sgd.phases.stale.flops,
    refreshRatio: refresh.flops / sgd.phases.stale.flops,
    ...(ratio > EXPLAINED_RATIO && { reason: explain(own, sgd) }),
  };
}

export function formatStructures(rows: readonly StructureRow[]): string {
  const table = new Table({
    head: [
      "method",
      "µs per step",
      "to SGD",
      "MFLOP stale",
      "to SGD",
      "MFLOP refresh",
      "to SGD",
      "ms refresh",
      "MB passes",
    ],
    colAligns: ["left", ...Array<"right">(8).fill("right")],
    style: { head: [], border: [], compact: true },
  });
  for (const { method, microseconds, ratio, phases, profile, staleRatio, refreshRatio } of rows) {
    if (phases === undefined) continue;
    table.push([
      ...[method, formatMicroseconds(microseconds!), ratio!.toFixed(2)],
      ...[megaflops(phases.stale.flops), staleRatio!.toFixed(2), megaflops(phases.refresh.flops)],
      ...[refreshRatio!.toFixed(2), milliseconds(phases.refresh.seconds)],
      Math.round(profile!.passes.bytes / 1e6),
    ]);
  }
  const words = rows.flatMap(({ method, ratio, reason, refusal }) => {
    if (refusal !== undefined) return [`${method}: not timed, ${refusal}`];
    return reason === undefined ? [] : [`${method}, ${ratio!.toFixed(2)} of SGD's step: ${reason}`];
  });
  return [table.toString(), ...words].join("\n");
}

function megaflops(flops: number): string {
  return flops < 1e8 ? (flops / 1e6).toPrecision(3) : (flops / 1e6).toFixed(0);
}
