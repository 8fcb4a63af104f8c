/**
 * Where the time of a step goes beyond an SGD step, in measured parts that add up to the difference:
 *
 *   t − t_sgd = (stale − t_sgd) + (refresh − stale)/100
 *
 * with the first bracket cut into the programs' matrix products, their other kernels (passes over memory) and the host, the second
 * into programs and host. Programs are cut by the shares that products and passes have in ONNX Runtime's profile of a step.
 */
import { REFRESH_EVERY } from "./cases.ts";
import type { PhaseCosts, Phases } from "./phases.ts";
import type { KernelCosts, StepProfile } from "./profile.ts";

/** A contender's best round, and the kernels of its steps. */
export interface Measured {
  readonly phases: Phases;
  readonly profile: StepProfile;
}

/** A part of what a step takes beyond SGD's. */
interface Part {
  readonly seconds: number;
  readonly words: string;
}

/** Parts are named, the largest first, until they make up so much of the difference. */
const NAMED_SHARE = 0.95;

/** Seconds of a step, the refresh spread over its period. */
export function meanSeconds({ refresh, stale }: Phases): number {
  return stale.seconds + (refresh.seconds - stale.seconds) / REFRESH_EVERY;
}

/** Why a step takes longer than SGD's, in words with their milliseconds. */
export function explain(method: Measured, sgd: Measured): string {
  const difference = meanSeconds(method.phases) - meanSeconds(sgd.phases);
  const parts = partsOf(method, sgd).sort((a, b) => b.seconds - a.seconds);
  const named: Part[] = [];
  let sum = 0;
  for (const part of parts) {
    if (sum >= NAMED_SHARE * difference || part.seconds <= 0) break;
    sum += part.seconds;
    named.push(part);
  }
  const words = named.map(({ seconds, words }) => `${milliseconds(seconds)} ${words}`);
  const share = Math.round((100 * sum) / difference);
  return `${milliseconds(difference)} more, ${share} % of it named: ${words.join("; ")}`;
}

function partsOf({ phases: { refresh, stale }, profile }: Measured, sgd: Measured): Part[] {
  const own = sgd.phases.stale;
  const [products, passes] = [stalePart("products"), stalePart("passes")];
  const ratio = (stale.flops / own.flops).toFixed(2);
  const megabytes = ({ bytes }: KernelCosts) => `${Math.round(bytes / 1e6)} MB`;
  const moved = (kind: keyof StepProfile) => {
    return `${megabytes(profile[kind])} read and written, SGD ${megabytes(sgd.profile[kind])}`;
  };
  const operations = `${ratio} times SGD's operations${repeatedIn(stale)}`;
  const every = (seconds: number) => `(${milliseconds(seconds)} every ${REFRESH_EVERY} steps)`;
  const inPrograms = refresh.programSeconds - stale.programSeconds;
  const onHost = hostSeconds(refresh) - hostSeconds(stale);
  return [
    { seconds: products, words: `matrix products (${operations}; ${moved("products")})` },
    { seconds: passes, words: `passes over memory (${moved("passes")})` },
    { seconds: hostSeconds(stale) - hostSeconds(own), words: "on the host in every step" },
    { seconds: inPrograms / REFRESH_EVERY, words: `programs of a refresh ${every(inPrograms)}` },
    { seconds: onHost / REFRESH_EVERY, words: `a refresh on the host ${every(onHost)}` },
  ];

  function stalePart(kind: keyof StepProfile): number {
    return kernelSeconds({ stale }, profile, kind) - kernelSeconds(sgd.phases, sgd.profile, kind);
  }
}

/** Seconds in programs, by the profile's share of one kind of kernels. */
function kernelSeconds(
  { stale }: Pick<Phases, "stale">,
  profile: StepProfile,
  kind: keyof StepProfile,
): number {
  const all = profile.products.seconds + profile.passes.seconds;
  return (stale.programSeconds * profile[kind].seconds) / all;
}

function hostSeconds({ seconds, programSeconds }: PhaseCosts): number {
  return seconds - programSeconds;
}

/** `, 11.5 products with the curvature matrix a step, 2.0 GFLOP each`, where one program runs again and again. */
function repeatedIn({ repeated }: PhaseCosts): string {
  if (!repeated || repeated.runs < 2) return "";
  return `, ${repeated.runs.toFixed(1)} products with the curvature matrix a step, ${(repeated.flops / 1e9).toFixed(1)} GFLOP each`;
}

/** `1.25 ms`. */
export function milliseconds(seconds: number): string {
  const value = 1000 * seconds;
  return `${Number(value >= 1000 ? value.toFixed(0) : value.toPrecision(3))} ms`;
}
