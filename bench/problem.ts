/**
 * One case and method as files that every contender reads: a JSON description, and the numbers it starts from. All start
 * from the same weights and take the same batch in every step, so their losses have to agree.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type BenchmarkMethod,
  DAMPING,
  LEARNING_RATE,
  MOMENTUM,
  methods,
  type Network,
  networks,
  SAMPLES,
} from "./cases.ts";
import type { Natgrad } from "./natgrad.ts";

export interface Problem extends Network, BenchmarkMethod {
  readonly samples: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly damping: number;
  /**
   * A file of little-endian float32: inputs (N, F), targets (N, C) or class indices (N), then for each layer its weight
   * (out, in) and bias (out).
   */
  readonly numbers: string;
}

/** Writes a problem with drawn numbers into a folder; the path of its description. */
export function writeProblem(
  folder: string,
  caseName: string,
  methodName: string,
  { Random }: Pick<Natgrad, "Random">,
): string {
  const network = networks[caseName];
  const random = new Random(0).fork(caseName);
  const numbers = join(folder, `${caseName}.bin`);
  writeFileSync(numbers, Float32Array.from(drawNumbers(network, random)));
  const problem: Problem = {
    ...network,
    ...methods[methodName],
    samples: SAMPLES,
    learningRate: LEARNING_RATE,
    momentum: MOMENTUM,
    damping: DAMPING,
    numbers,
  };
  const path = join(folder, `${caseName}-${methodName}.json`);
  writeFileSync(path, JSON.stringify(problem));
  return path;
}

/** Normal inputs and targets, uniform classes; weights and biases uniform within 1/√in, as PyTorch's Linear has them. */
function drawNumbers({ widths, task }: Network, random: InstanceType<Natgrad["Random"]>): number[] {
  const outputs = widths[widths.length - 1];
  const numbers: number[] = [];
  for (let k = 0; k < SAMPLES * widths[0]; k++) numbers.push(random.normal());
  if (task === "classification") {
    for (let k = 0; k < SAMPLES; k++) numbers.push(random.integer(outputs));
  } else {
    for (let k = 0; k < SAMPLES * outputs; k++) numbers.push(random.normal());
  }
  for (let layer = 1; layer < widths.length; layer++) {
    const [inputs, units] = [widths[layer - 1], widths[layer]];
    for (let k = 0; k < units * inputs + units; k++) {
      numbers.push((2 * random.uniform() - 1) / Math.sqrt(inputs));
    }
  }
  return numbers;
}

export interface LayerNumbers {
  /** (out, in). */
  readonly weight: Float32Array;
  /** (out). */
  readonly bias: Float32Array;
  readonly inputs: number;
  readonly units: number;
}

export interface LoadedProblem extends Problem {
  /** (N, F). */
  readonly inputs: Float32Array;
  /** (N, C), or class indices (N). */
  readonly targets: Float32Array;
  readonly layers: readonly LayerNumbers[];
}

export function readProblem(path: string): LoadedProblem {
  const problem: Problem = JSON.parse(readFileSync(path, "utf8"));
  const { samples, widths, task } = problem;
  const all = new Float32Array(new Uint8Array(readFileSync(problem.numbers)).buffer);
  let start = 0;
  const take = (length: number) => all.subarray(start, (start += length));
  const inputs = take(samples * widths[0]);
  const targets = take(task === "classification" ? samples : samples * widths[widths.length - 1]);
  const layers = widths.slice(1).map((units, l) => {
    return { weight: take(units * widths[l]), bias: take(units), inputs: widths[l], units };
  });
  return { ...problem, inputs, targets, layers };
}
