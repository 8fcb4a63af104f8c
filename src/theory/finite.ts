/** Networks of finite width, evaluated: what is traced from the rows of their Jacobian, on points given as arrays. */
import { requireLinear } from "../curvature/images.ts";
import { parseFisher, type Scores, traceScores } from "../fisher/index.ts";
import { broadcastTo, input, type NamedOutputs, type SymbolicTensor, scalar } from "../graph/index.ts";
import { type BuiltModel, gaussian } from "../nn/index.ts";
import { evaluate } from "../runtime/program.ts";
import { openRuntime, type Runtime } from "../runtime/runtime.ts";
import {
  allocate,
  type FloatDType,
  type NamedTensorsLike,
  sizeOf,
  type Tensor,
  toNamedTensors,
} from "../tensor.ts";

/** A model with values for its parameters. */
export interface FiniteNetwork {
  readonly model: BuiltModel;
  readonly parameters: NamedTensorsLike;
}

export interface EvaluationOptions {
  /** Numbers of the computation; results are float64 in any case. Default float64. */
  readonly dtype?: FloatDType;
  /** Default one of its own on the CPU, for this call. */
  readonly runtime?: Runtime;
}

/** What {@link evaluateJacobian} traces from. */
export interface TracedJacobian {
  /**
   * Score rows of the exact Fisher matrix of a gaussian likelihood, whose output metric is the identity: S = J, row c·N + n is
   * ∂f_nc/∂θ.
   */
  readonly scores: Scores;
  /** f, (N, C). */
  readonly outputs: SymbolicTensor;
  /** By full name. */
  readonly parameters: ReadonlyMap<string, SymbolicTensor>;
}

/**
 * Evaluates what is traced from a network's Jacobian at some points.
 *
 * @param inputs (N, …inputShape); @param extras further inputs of the trace, by name
 * @throws UsageError where a layer with parameters is not dense
 */
export async function evaluateJacobian(
  { model, parameters }: FiniteNetwork,
  inputs: Tensor,
  trace: (traced: TracedJacobian) => NamedOutputs,
  { dtype = "float64", runtime }: EvaluationOptions = {},
  extras: Readonly<Record<string, Tensor>> = {},
): Promise<Record<string, Tensor>> {
  const values = toNamedTensors(parameters);
  const feeds: Record<string, Tensor> = { inputs: converted(inputs, dtype) };
  const nodes = new Map<string, SymbolicTensor>();
  for (const [name, { shape }] of model.parameters) {
    const value = values.get(name);
    if (value === undefined || value.data.length !== sizeOf(shape)) {
      throw new RangeError(`invalid parameters: ${name} is absent or of another shape`);
    }
    feeds[`parameter/${name}`] = converted({ shape, data: value.data }, dtype);
    nodes.set(name, input(`parameter/${name}`, shape, dtype));
  }
  for (const [name, value] of Object.entries(extras)) feeds[name] = converted(value, dtype);
  const forward = model.forward(input("inputs", inputs.shape, dtype), nodes);
  const targets = broadcastTo(scalar(0, dtype), forward.outputs.shape);
  const traced = traceScores(forward, gaussian(), targets, parseFisher("exact"));
  const scores = requireLinear("the theory", traced);
  const results = trace({ scores, outputs: forward.outputs, parameters: nodes });
  const own = runtime ?? (await openRuntime({ device: "cpu" }));
  try {
    return await evaluate(own, results, feeds);
  } finally {
    if (runtime === undefined) own.dispose();
  }
}

function converted({ shape, data }: Tensor, dtype: FloatDType): Tensor {
  const copy = allocate(dtype, data.length);
  copy.set(data);
  return { shape, data: copy };
}
