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
  SHORT_PERIOD,
} from "./cases.ts";
import type { Natgrad } from "./natgrad.ts";

export interface Problem extends Network, BenchmarkMethod {
  /** Steps between two refreshes as they are run: fewer than `refreshEvery` where steps are slow. */
  readonly period: number;
  readonly samples: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly damping: number;
  /**
   * A file of little-endian float32: inputs (N, F) or (N, C, H, W), targets (N, C) or class indices (N), then for each layer its weight
   * (out, in), of a convolution (out, in, 3, 3), and bias (out).
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
    period: Math.min(methods[methodName].refreshEvery, network.convolutions ? SHORT_PERIOD : Infinity),
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

/** Shape of one sample. */
export function inputShape({ widths, convolutions }: Network): readonly number[] {
  return convolutions?.image ?? [widths[0]];
}

/** Shapes of the weights, layer by layer: (out, in), of convolutions (out, in, 3, 3). */
function weightShapes({ widths, convolutions }: Network): number[][] {
  const { image = [0], filters = [] } = convolutions ?? {};
  const convolutional = filters.map((units, l) => [units, l === 0 ? image[0] : filters[l - 1], 3, 3]);
  return [...convolutional, ...widths.slice(1).map((units, l) => [units, widths[l]])];
}

const product = (shape: readonly number[]) => shape.reduce((total, size) => total * size, 1);

/** Normal inputs and targets, uniform classes; weights and biases uniform within 1/√in, as PyTorch's layers have them. */
function drawNumbers(network: Network, random: InstanceType<Natgrad["Random"]>): number[] {
  const { widths, task } = network;
  const outputs = widths[widths.length - 1];
  const numbers: number[] = [];
  for (let k = 0; k < SAMPLES * product(inputShape(network)); k++) numbers.push(random.normal());
  if (task === "classification") {
    for (let k = 0; k < SAMPLES; k++) numbers.push(random.integer(outputs));
  } else {
    for (let k = 0; k < SAMPLES * outputs; k++) numbers.push(random.normal());
  }
  for (const [units, ...rest] of weightShapes(network)) {
    const inputs = product(rest);
    for (let k = 0; k < units * inputs + units; k++) {
      numbers.push((2 * random.uniform() - 1) / Math.sqrt(inputs));
    }
  }
  return numbers;
}

export interface LayerNumbers {
  /** Of the weight. */
  readonly shape: readonly number[];
  readonly weight: Float32Array;
  /** (out). */
  readonly bias: Float32Array;
}

export interface LoadedProblem extends Problem {
  /** (N, F) or (N, C, H, W). */
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
  const inputs = take(samples * product(inputShape(problem)));
  const targets = take(task === "classification" ? samples : samples * widths[widths.length - 1]);
  const layers = weightShapes(problem).map((shape) => {
    return { shape, weight: take(product(shape)), bias: take(shape[0]) };
  });
  return { ...problem, inputs, targets, layers };
}
