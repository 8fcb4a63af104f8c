/** The network of a run: what the command line takes, and what it says about it. */
import { type Dataset, inputCount } from "../data/index.ts";
import { nearest, UsageError } from "../errors.ts";
import { type ActivationName, DENSE, type ModelConfig } from "../models/config.ts";
import { imageModels } from "../models/registry.ts";
import type * as nn from "../nn/index.ts";
import type { Assignment } from "./arguments.ts";
import { defaultActivation, defaultHidden } from "./defaults.ts";

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
