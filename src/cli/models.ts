/** The network of a run: a dense one by the sizes of its layers, or one for images by its name. */
import { type Dataset, inputCount } from "../data/index.ts";
import { nearest, requireOption, UsageError } from "../errors.ts";
import { createImageModel, imageModels } from "../models/registry.ts";
import * as nn from "../nn/index.ts";
import { sizeOf } from "../tensor.ts";
import type { Assignment } from "./arguments.ts";
import { defaultActivation, defaultHidden } from "./defaults.ts";

/** As `config.json` has it. */
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

const DENSE = "dense";
export const modelNames: readonly string[] = [DENSE, ...imageModels.map(({ name }) => name)];

/** Whether `--model` names a network for images. */
export function isImageModel(model: string): boolean {
  return model !== DENSE;
}

/** What the command line says about the network. */
export interface ModelOptions {
  readonly model: string;
  readonly hidden?: readonly number[];
  readonly activation?: ActivationName;
  readonly modelOption?: readonly Assignment[];
}

/** `filters of small-conv; depth, widen, dropout of wide-resnet; …`. */
export function describeModelOptions(): string {
  const takers = imageModels.filter(({ options }) => options.length > 0);
  return takers.map(({ name, options }) => `${options.join(", ")} of ${name}`).join("; ");
}

/** Reads `--model`. */
export function modelName(text: string): string {
  if (modelNames.includes(text)) return text;
  const near = nearest(text, modelNames);
  throw new UsageError(
    `invalid --model: "${text}" (${near ? `did you mean "${near}"?` : `must be ${modelNames.join(" | ")}`})`,
  );
}

/** @throws UsageError for options that the network does not take */
export function modelConfig({ model, hidden, activation, modelOption = [] }: ModelOptions): ModelConfig {
  if (model === DENSE) {
    if (modelOption.length > 0) {
      throw new UsageError(
        "--model-option is for the networks for images (dense takes --hidden, --activation)",
      );
    }
    return { hidden: hidden ?? defaultHidden, activation: activation ?? defaultActivation };
  }
  const foreign = hidden !== undefined ? "--hidden" : activation !== undefined ? "--activation" : undefined;
  if (foreign) throw new UsageError(`${foreign} is for dense networks, not for ${model}`);
  for (const { method } of modelOption) {
    if (method !== undefined)
      throw new UsageError(`invalid --model-option: "${method}.…" (must be key=value)`);
  }
  return { name: model, options: Object.fromEntries(modelOption.map(({ key, value }) => [key, value])) };
}

/**
 * The network for these data, the output layer following from the task.
 *
 * @throws UsageError when an option is out of range, or the data have no images and the network takes some
 */
export function buildModel(model: ModelConfig, data: Dataset): nn.Model {
  if (!("name" in model)) return denseModel(model, data);
  requireOption(
    data.imageShape !== undefined,
    "--model",
    model.name,
    `${DENSE} for ${data.name}, which has no images`,
  );
  return createImageModel(model.name, model.options, outputUnits(data));
}

function denseModel({ hidden, activation }: DenseConfig, data: Dataset): nn.Model {
  requireOption(Array.isArray(hidden), "hidden", hidden, "a list of layer sizes");
  requireOption(activationNames.includes(activation), "activation", activation, activationNames.join(" | "));
  const layers = hidden.flatMap((units) => [nn.dense(units), activations[activation]()]);
  const flat = data.imageShape ? [nn.flatten()] : [];
  return nn.sequential([...flat, ...layers, nn.dense(outputUnits(data))]);
}

function outputUnits({ task, targets }: Dataset): number {
  return task.kind === "classification" ? task.classNames.length : sizeOf(targets.shape.slice(1));
}

/** In a few words: `hidden layers 32-16, tanh`, `wide-resnet, depth 16`. */
export function describeModel(model: ModelConfig): string {
  if ("name" in model) {
    const options = Object.entries(model.options).map(([key, value]) => `, ${key} ${value}`);
    return model.name + options.join("");
  }
  const { hidden, activation } = model;
  return hidden.length === 0 ? "no hidden layer" : `hidden layers ${hidden.join("-")}, ${activation}`;
}

/** What the report says: the layers, and the name before them where there is one. */
export function describeLayers(config: ModelConfig, model: nn.Model): string {
  return "name" in config ? `${describeModel(config)}: ${model.describe()}` : model.describe();
}

/** `10 inputs`, `images of 28 × 28 pixels`. */
export function describeInputs(data: Dataset): string {
  if (!data.imageShape) return `${inputCount(data)} inputs`;
  const [channels, height, width] = data.imageShape;
  return `images of ${height} × ${width} pixels${channels === 1 ? "" : `, ${channels} channels`}`;
}
