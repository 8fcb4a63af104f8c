/** The network of a run, as its `config.json` has it: a dense one by the sizes of its layers, or one for images by its name. */
import type { Dataset } from "../data/dataset.ts";
import { outputsOf } from "../data/decode.ts";
import { requireOption } from "../errors.ts";
import * as nn from "../nn/index.ts";
import { createImageModel } from "./registry.ts";

export type ModelConfig = DenseConfig | ImageModelConfig;

export interface DenseConfig {
  /** Units of the hidden layers. */
  readonly hidden: readonly number[];
  readonly activation: ActivationName;
}

export interface ImageModelConfig {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
}

const activations = {
  tanh: nn.tanh,
  relu: nn.relu,
  leakyRelu: nn.leakyRelu,
  sigmoid: nn.sigmoid,
  gelu: nn.gelu,
  softplus: nn.softplus,
  elu: nn.elu,
  sin: nn.sin,
} as const;

export type ActivationName = keyof typeof activations;
export const activationNames = Object.keys(activations) as ActivationName[];

/** The name of {@link DenseConfig} among the networks. */
export const DENSE = "dense";

/** What a network must know of the data. */
export type DataFacts = Pick<Dataset, "name" | "task" | "imageShape">;

/**
 * The network for these data, the output layer following from the task.
 *
 * @throws UsageError when an option is out of range, or the data have no images and the network takes some
 */
export function buildModel(model: ModelConfig, data: DataFacts): nn.Model {
  if (!("name" in model)) return denseModel(model, data);
  requireOption(
    data.imageShape !== undefined,
    "--model",
    model.name,
    `${DENSE} for ${data.name}, which has no images`,
  );
  return createImageModel(model.name, model.options, outputsOf(data.task));
}

function denseModel({ hidden, activation }: DenseConfig, data: DataFacts): nn.Model {
  requireOption(Array.isArray(hidden), "hidden", hidden, "a list of layer sizes");
  requireOption(activationNames.includes(activation), "activation", activation, activationNames.join(" | "));
  const layers = hidden.flatMap((units) => [nn.dense(units), activations[activation]()]);
  const flat = data.imageShape ? [nn.flatten()] : [];
  return nn.sequential([...flat, ...layers, nn.dense(outputsOf(data.task))]);
}
