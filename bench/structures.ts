/**
 * What a step of every natural-gradient method costs beside natgrad's own SGD: times of whole periods of 100 steps, by turns with SGD;
 * counted operations; and, where a step takes more than 1.3 of SGD's, the reason as the counts have it.
 */
import { fileURLToPath } from "node:url";
import Table from "cli-table3";
import { REFRESH_EVERY } from "./cases.ts";
import { Contender, type ContenderDefinition } from "./contender.ts";
import type { StepCosts } from "./serve.ts";
import { formatMicroseconds } from "./table.ts";

export interface StructureRow {
  readonly method: string;
  /** Why it was not timed; then nothing else is there. */
  readonly refusal?: string;
  /** Microseconds per step, the least of the rounds. */
  readonly microseconds?: number;
  /** To SGD's least. */
  readonly ratio?: number;
  readonly costs?: StepCosts;
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
/** A share of SGD's step that is worth a word. */
const WORTH_A_WORD = 0.1;
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
    let [least, leastOfSgd] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    await sgd.run(WARM_UP_SECONDS);
    for (let round = 0; round < rounds; round++) {
      leastOfSgd = Math.min(leastOfSgd, await sgd.run(seconds));
      least = Math.min(least, await contender.run(seconds));
    }
    const [costs, { stale: own }] = [contender.introduction.costs!, sgd.introduction.costs!];
    const row = {
      ...{ method, microseconds: least, ratio: least / leastOfSgd, costs },
      staleRatio: costs.stale.flops / own.flops,
      refreshRatio: costs.refresh.flops / own.flops,
    };
    return row.ratio > EXPLAINED_RATIO ? { ...row, reason: explain(row, leastOfSgd) } : row;
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

/**
 * Where the time above SGD's goes: to operations of every step, to the share of a refresh, or to neither (the calls of many small
 * operations, and memory that is read and written).
 *
 * @param sgdMicroseconds of an SGD step in the same rounds
 */
export function explain(
  { ratio, staleRatio, costs }: { ratio: number; staleRatio: number; costs: StepCosts },
  sgdMicroseconds: number,
): string {
  const refresh = Math.max(0, costs.refresh.seconds - costs.stale.seconds);
  const share = (1e6 * refresh) / REFRESH_EVERY / sgdMicroseconds;
  const rest = ratio - Math.max(1, staleRatio) - share;
  const parts = [];
  if (staleRatio - 1 > WORTH_A_WORD)
    parts.push(`algebra: ${staleRatio.toFixed(1)} times SGD's operations per step`);
  if (share > WORTH_A_WORD) {
    const every = `${formatMilliseconds(refresh)} per ${REFRESH_EVERY} steps`;
    parts.push(`refresh: ${every}, ${share.toFixed(1)} of SGD's time per step`);
  }
  if (rest > WORTH_A_WORD) parts.push(`not in these counts: ${rest.toFixed(1)} of SGD's time per step`);
  return parts.join("; ");
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
    ],
    colAligns: ["left", "right", "right", "right", "right", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  for (const { method, microseconds, ratio, costs, staleRatio, refreshRatio } of rows) {
    if (costs === undefined) continue;
    table.push([
      ...[method, formatMicroseconds(microseconds!), ratio!.toFixed(2)],
      ...[megaflops(costs.stale.flops), staleRatio!.toFixed(2), megaflops(costs.refresh.flops)],
      ...[refreshRatio!.toFixed(2), formatMilliseconds(costs.refresh.seconds)],
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

function formatMilliseconds(seconds: number): string {
  return `${Number((1000 * seconds).toPrecision(3))} ms`;
}
