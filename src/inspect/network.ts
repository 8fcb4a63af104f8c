/** The network of a checkpoint, and methods set at its parameters: in float64 on the CPU, whatever the run used. */
import { requireLinear } from "../curvature/images.ts";
import type { Dataset } from "../data/dataset.ts";
import { selectRows } from "../data/dataset.ts";
import { type FisherType, type Scores, traceLoss, traceScores } from "../fisher/index.ts";
import { input, type NamedOutputs, type SymbolicTensor } from "../graph/index.ts";
import type { Batch, Method, Optimizer, Problem } from "../optimizers/optimizer.ts";
import { BatchFunction } from "../optimizers/program/batch-function.ts";
import { parameterInput, type TracedBatch, traceNamedGradient } from "../optimizers/program/traced-batch.ts";
import { Random } from "../random.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { allocate, type NamedTensors, sizeOf, type Tensor } from "../tensor.ts";
import { type CheckpointSource, type Progress, readCheckpoint } from "../training/checkpoint.ts";
import { availableMemory } from "../training/step-memory.ts";
import { identityOf, type TrainerConfig } from "../training/trainer-config.ts";

export class InspectedNetwork {
  readonly problem: Problem;
  readonly progress: Progress;
  /** The run's own optimizer with what it remembers. */
  readonly own: Method;
  readonly #started: Method[] = [];

  constructor(problem: Problem, own: Method, progress: Progress) {
    this.problem = problem;
    this.own = own;
    this.progress = progress;
  }

  /** Another optimizer at the checkpoint's parameters, without a history. */
  async start(optimizer: Optimizer): Promise<Method> {
    const method = await optimizer.start(this.problem);
    this.#started.push(method);
    for (const name of this.problem.model.parameters.keys()) {
      const key = parameterInput(name);
      method.state.current[key].set(this.own.state.current[key]);
    }
    return method;
  }

  /** Evaluates what is traced from a batch, at the checkpoint's parameters. */
  async evaluate(
    batch: Batch,
    trace: (traced: TracedBatch) => NamedOutputs,
    extras: ReadonlyMap<string, Tensor> = new Map(),
  ): Promise<Record<string, Tensor>> {
    const traced = new BatchFunction(this.problem, this.own.state, trace, extras);
    try {
      return await traced.call(batch);
    } finally {
      traced.dispose();
    }
  }

  /** Loss and gradient of a batch. */
  async gradient(batch: Batch): Promise<{ loss: number; gradient: NamedTensors }> {
    const { likelihood } = this.problem;
    const { loss, ...gradient } = await this.evaluate(batch, (traced) => ({
      ...Object.fromEntries(traceNamedGradient(likelihood, traced)),
      loss: traceLoss(traced.forward, likelihood, traced.targets),
    }));
    return { loss: loss.data[0], gradient: new Map(Object.entries(gradient)) };
  }

  /** Evaluates what is traced from a batch's score rows, the targets of the Monte-Carlo Fisher being given. */
  scores(
    batch: Batch,
    fisher: FisherType,
    draws: readonly Tensor[],
    trace: (scores: Scores) => NamedOutputs,
  ): Promise<Record<string, Tensor>> {
    const extras = new Map(draws.map((drawn, k) => [`draw/${k}`, drawn]));
    return this.evaluate(
      batch,
      ({ forward, targets }) => {
        const nodes = [...extras.keys()].map((name) => input(name, targets.shape, targets.dtype));
        const scores = traceScores(forward, this.problem.likelihood, targets, fisher, nodes);
        return trace(requireLinear("natgrad inspect", scores));
      },
      extras,
    );
  }

  /** Targets drawn from the model for a batch: one tensor for each draw of the Monte-Carlo Fisher, none for others. */
  async draw(batch: Batch, { draws }: FisherType, random: Random): Promise<Tensor[]> {
    const { likelihood, model, dtype } = this.problem;
    const { kind, shape } = likelihood.noise(batch.inputs.shape[0], model.outputShape[0]);
    const targets: Tensor[] = [];
    for (let k = 0; k < draws; k++) {
      const data = allocate(dtype, sizeOf(shape));
      for (let i = 0; i < data.length; i++) data[i] = kind === "normal" ? random.normal() : random.uniform();
      const trace = ({ forward }: TracedBatch): Record<string, SymbolicTensor> => ({
        drawn: likelihood.sample(forward.outputs, input("noise", shape, dtype)),
      });
      const { drawn } = await this.evaluate(batch, trace, new Map([["noise", { shape, data }]]));
      targets.push(drawn);
    }
    return targets;
  }

  dispose(): void {
    for (const method of this.#started) method.dispose();
    this.own.dispose();
    this.problem.runtime.dispose();
  }
}

/**
 * @param config the run's own
 * @throws UsageError when the checkpoint is missing or belongs to another configuration
 */
export async function openNetwork(
  checkpoint: CheckpointSource,
  config: TrainerConfig,
): Promise<InspectedNetwork> {
  const { batchSize = 128, seed = 0, memoryLimit = availableMemory() } = config;
  const runtime = await openRuntime({ device: "cpu" });
  try {
    const problem: Problem = {
      ...{ runtime, memoryLimit, dtype: "float64", likelihood: config.likelihood },
      model: config.model.build(config.inputShape),
      random: new Random(seed).fork("targets"),
    };
    const own = await config.optimizer.start(problem);
    const { progress } = await readCheckpoint(checkpoint, own, identityOf(config), { batchSize });
    return new InspectedNetwork(problem, own, progress);
  } catch (error) {
    runtime.dispose();
    throw error;
  }
}

/** Some rows of a dataset, by seed. */
export function chooseRows(dataset: Dataset, samples: number, seed: number): Batch {
  const order = new Random(seed).fork("inspect").permutation(dataset.inputs.shape[0]);
  const { inputs, targets } = selectRows(dataset, order.subarray(0, samples));
  return { inputs, targets };
}
