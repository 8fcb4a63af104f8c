/** What is kept of an experiment: `result.json`, all it takes to show it again and to do it again. */
import { breathe } from "../breathe.ts";
import type {
  Experiment,
  ExperimentChart,
  ExperimentContext,
  ExperimentPicture,
  ExperimentResult,
  ExperimentTable,
} from "./experiment.ts";

export interface ExperimentRecord {
  readonly format: "natgrad experiment 1";
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly summary: string;
  /** The command that does it again. */
  readonly command: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** What computed, in lines for people. */
  readonly environment: readonly string[];
  readonly quick: boolean;
  readonly synthetic: boolean;
  readonly seed: number;
  /** What it took, start to end. */
  readonly seconds: number;
  /** On which data, in words. */
  readonly data: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly charts: readonly ExperimentChart[];
  readonly tables: readonly ExperimentTable[];
  readonly pictures: readonly ExperimentPicture[];
  readonly claims: readonly JudgedClaim[];
}

export interface JudgedClaim {
  readonly id: string;
  /** The paper's, or ours. */
  readonly claim: string;
  /** No claim of the paper's. */
  readonly ours?: true;
  readonly measured: string;
  readonly agrees: boolean;
}

export interface ExperimentRequest {
  readonly quick?: boolean;
  readonly synthetic?: boolean;
  readonly seed?: number;
  readonly environment?: readonly string[];
  readonly signal?: AbortSignal;
  onProgress?(fraction: number, text: string): void;
  onNote?(line: string): void;
}

/**
 * Runs an experiment to its end.
 *
 * @throws what the experiment throws, or the signal's reason when it came; an Error when its findings are not those of its claims
 */
export async function runExperiment(
  experiment: Experiment,
  request: ExperimentRequest = {},
): Promise<ExperimentRecord> {
  const { quick = false, synthetic = false, seed = 0, environment = [] } = request;
  const { signal = new AbortController().signal } = request;
  const context: ExperimentContext = {
    ...{ quick, synthetic, seed, signal },
    async progress(fraction, text) {
      request.onProgress?.(fraction, text);
      await breathe();
      signal.throwIfAborted();
    },
    note: (line) => request.onNote?.(line),
  };
  const start = performance.now();
  const { values, charts = [], tables = [], pictures = [], claims } = await experiment.run(context);
  signal.throwIfAborted();
  const { id, title, source, summary } = experiment;
  return {
    ...{ format: "natgrad experiment 1", id, title, source, summary },
    command: commandOf(id, { quick, synthetic, seed }),
    createdAt: new Date().toISOString(),
    ...{ environment, quick, synthetic, seed },
    seconds: (performance.now() - start) / 1000,
    data: describeData(experiment, synthetic),
    ...{ values, charts, tables, pictures, claims: judge(experiment, claims, quick) },
  };
}

/** The file's text: typed arrays as lists, numbers that JSON does not have as texts. */
export function encodeRecord(record: ExperimentRecord): string {
  const plain = (_key: string, value: unknown) => {
    if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  };
  return `${JSON.stringify(record, plain, 1)}\n`;
}

/** The claims of the paper, without ours. */
export function claimsOfPaper({ claims }: Pick<ExperimentRecord, "claims">): readonly JudgedClaim[] {
  return claims.filter(({ ours }) => !ours);
}

/** `Agrees with all 3 claims of the paper.`, or which it does not agree with; then the same of our own. */
export function compareWithPaper(record: Pick<ExperimentRecord, "claims">): string {
  const own = record.claims.filter(({ ours }) => ours);
  const holding = own.filter(({ agrees }) => agrees).map(({ claim }) => claim);
  const failing = own.filter(({ agrees }) => !agrees);
  return [
    verdict(claimsOfPaper(record)),
    ...(holding.length ? [`Beside them: ${holding.join(" ")}`] : []),
    ...failing.map(
      ({ claim, measured }) => `What we said beside them does not hold, “${withoutStop(claim)}”: ${measured}`,
    ),
  ].join(" ");
}

function verdict(claims: readonly JudgedClaim[]): string {
  const against = claims.filter(({ agrees }) => !agrees);
  const count = claims.length;
  if (count === 0) return "No claim of the paper was measured.";
  if (against.length === 0) {
    return count === 1 ? "Agrees with the paper's claim." : `Agrees with all ${count} claims of the paper.`;
  }
  const rest = against.map(({ claim, measured }) => `“${withoutStop(claim)}”: ${withoutStop(measured)}`);
  const head = against.length === count ? "Disagrees with" : `Agrees with ${count - against.length} of`;
  return `${head} ${count === 1 ? "the paper's claim" : `${count} claims of the paper`}. It disagrees on ${rest.join("; on ")}.`;
}

/** On which data a run is. */
export function describeData({ data }: Pick<Experiment, "data">, synthetic: boolean): string {
  if (data === undefined) return "none but what it draws";
  return synthetic ? `synthetic stand-in: ${data.synthetic}` : data.datasets.join(", ");
}

function judge(
  { id, claims }: Experiment,
  findings: ExperimentResult["claims"],
  quick: boolean,
): JudgedClaim[] {
  const byId = new Map(findings.map((finding) => [finding.id, finding]));
  const unknown = findings.find((finding) => !claims.some((claim) => claim.id === finding.id));
  if (unknown) throw new Error(`${id} has a finding on ${unknown.id}, which is none of its claims`);
  return claims.flatMap((one) => {
    const finding = byId.get(one.id);
    if (finding === undefined) {
      if (quick && one.quick !== true) return [];
      throw new Error(`${id} has no finding on its claim ${one.id}`);
    }
    const { id: name, claim, ours } = one;
    return [{ id: name, claim, ...(ours && { ours }), measured: finding.measured, agrees: finding.agrees }];
  });
}

function commandOf(
  id: string,
  { quick, synthetic, seed }: Required<Pick<ExperimentRequest, "quick" | "synthetic" | "seed">>,
) {
  const flags = [...(quick ? ["--quick"] : []), ...(synthetic ? ["--synthetic"] : [])];
  return ["natgrad", "reproduce", id, ...flags, "--seed", String(seed)].join(" ");
}

function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, "");
}
