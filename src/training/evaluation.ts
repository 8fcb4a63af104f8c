/** Loss and metrics of a model over a whole dataset. */
import { breathe } from "../breathe.ts";
import type { RegressionTask, Task } from "../data/dataset.ts";
import { toOriginalUnits } from "../data/dataset.ts";
import { largestTensor, type NamedOutputs } from "../graph/index.ts";
import type { Metric } from "../nn/index.ts";
import type { Batch, Problem } from "../optimizers/optimizer.ts";
import { BatchFunction } from "../optimizers/program/batch-function.ts";
import type { DoubleBuffer } from "../optimizers/program/double-buffer.ts";
import { parameterInput, type TracedBatch, traceBatch } from "../optimizers/program/traced-batch.ts";
import { allocate, dtypeOf, sizeOf, type Tensor } from "../tensor.ts";

/** Examples, with or without what is known of them. */
export interface Examples extends Batch {
  readonly name?: string;
  readonly task?: Task;
}

export interface Evaluation {
  /** Mean loss, nats per sample. */
  readonly loss: number;
  /** The likelihood's: `accuracy`, or `rmse` (in the targets' original units where the dataset knows them), or another, or the loss. */
  readonly metric: { readonly name: string; readonly value: number };
  readonly samples: number;
}

/** Most rows that one run of the program takes; the last ones are filled up with copies of the first row. */
const MOST_ROWS = 1024;
/**
 * Bytes of the largest activation of one run: networks on images take fewer rows at a time. Winograd's algorithm still
 * transforms images of so much, to 2.25 times that at best (`src/graph/winograd.ts`).
 */
const LARGEST_ACTIVATION = 56 * 2 ** 20;

/** Runs a model over datasets of any length, in chunks of one size. */
export class Evaluator {
  readonly #problem: Problem;
  readonly #function: BatchFunction;
  #rows: number | undefined;

  constructor(problem: Problem, state: DoubleBuffer) {
    this.#problem = problem;
    const trace = ({ forward: { outputs }, targets }: TracedBatch): NamedOutputs => {
      return { outputs, losses: problem.likelihood.loss(outputs, targets) };
    };
    this.#function = new BatchFunction(problem, state, trace, new Map(), false);
  }

  /** Rows that one run takes, so that memory is bounded whatever the network. */
  get rowsAtOnce(): number {
    this.#rows ??= rowsThatFit(this.#problem);
    return this.#rows;
  }

  /** Network outputs f, (N, C): means for gaussian, natural parameters (logits, log rates) for others. */
  async predict(inputs: Tensor): Promise<Tensor> {
    const { likelihood, model, dtype } = this.#problem;
    const samples = inputs.shape[0];
    const outputs = model.outputShape[0];
    const wanted = likelihood.targets(samples, outputs);
    const targets = {
      shape: wanted.shape,
      data: allocate(wanted.dtype === "float" ? dtype : wanted.dtype, sizeOf(wanted.shape)),
    };
    const result = allocate(dtype, samples * outputs);
    for await (const { start, rows, results } of this.#chunks({ inputs, targets })) {
      result.set(results.outputs.data.subarray(0, rows * outputs), start * outputs);
    }
    return { shape: [samples, outputs], data: result };
  }

  async evaluate(examples: Examples): Promise<Evaluation> {
    const { likelihood, model } = this.#problem;
    const samples = examples.inputs.shape[0];
    const outputs = model.outputShape[0];
    const metric = likelihood.metric && startMetric(likelihood.metric, examples, outputs);
    let total = 0;
    for await (const { start, rows, results } of this.#chunks(examples)) {
      for (let row = 0; row < rows; row++) total += results.losses.data[row];
      metric?.add(results.outputs, start, rows);
    }
    const loss = total / samples;
    return { loss, metric: metric?.result(samples) ?? { name: "loss", value: loss }, samples };
  }

  dispose(): void {
    this.#function.dispose();
  }

  async *#chunks({ inputs, targets }: Batch) {
    const samples = inputs.shape[0];
    const size = Math.min(this.rowsAtOnce, samples);
    for (let start = 0; start < samples; start += size) {
      const rows = Math.min(size, samples - start);
      const batch = { inputs: take(inputs, start, size), targets: take(targets, start, size) };
      yield { start, rows, results: await this.#function.call(batch) };
      await breathe();
    }
  }
}

function rowsThatFit(problem: Problem): number {
  const { outputs } = traceBatch(problem, MOST_ROWS, parameterInput, false).forward;
  const bytes = largestTensor({ outputs });
  return bytes <= LARGEST_ACTIVATION
    ? MOST_ROWS
    : Math.max(1, Math.floor((MOST_ROWS * LARGEST_ACTIVATION) / bytes));
}

/** `size` rows from `start` on; past the end, the first row again. */
function take(source: Tensor, start: number, size: number): Tensor {
  const { shape, data } = source;
  const width = sizeOf(shape.slice(1));
  const available = Math.min(size, shape[0] - start);
  if (available === size) {
    const part = data.subarray(start * width, (start + size) * width);
    return { ...source, shape: [size, ...shape.slice(1)], data: part };
  }
  const filled = allocate(dtypeOf(data), size * width);
  filled.set(data.subarray(start * width));
  for (let row = available; row < size; row++) filled.set(data.subarray(0, width), row * width);
  return { ...source, shape: [size, ...shape.slice(1)], data: filled };
}

interface RunningMetric {
  add(outputs: Tensor, start: number, rows: number): void;
  result(samples: number): Evaluation["metric"];
}

function startMetric(metric: Metric, { targets, task }: Examples, outputs: number): RunningMetric {
  const { name, of, finish = (mean) => mean, inTargetUnits = false } = metric;
  const width = sizeOf(targets.shape.slice(1));
  const convert = (rows: Tensor) =>
    inTargetUnits && task?.kind === "regression" ? toOriginalUnits(task as RegressionTask, rows) : rows;
  let total = 0;
  return {
    add({ data }, start, rows) {
      const f = convert({ shape: [rows, outputs], data: data.subarray(0, rows * outputs) }).data;
      const known = targets.data.subarray(start * width, (start + rows) * width);
      const y = convert({ shape: [rows, width], data: known }).data;
      for (let row = 0; row < rows; row++) {
        total += of(
          f.subarray(row * outputs, (row + 1) * outputs),
          y.subarray(row * width, (row + 1) * width),
        );
      }
    },
    result: (samples) => ({ name, value: finish(total / samples) }),
  };
}
