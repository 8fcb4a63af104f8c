/** The networks for images by name, as the command line knows them. A new one is a file beside this one and an entry here. */
import { nearest, requireOption, UsageError } from "../errors.ts";
import type { Model } from "../nn/index.ts";
import { denseNet } from "./dense-net.ts";
import { mobileNetV2 } from "./mobile-net-v2.ts";
import { smallConvNet } from "./small-conv-net.ts";
import { threeC1F } from "./three-c1f.ts";
import { wideResNet } from "./wide-res-net.ts";

export interface ModelInfo {
  readonly name: string;
  /** Numbers that it can be made with. */
  readonly options: readonly string[];
  create(options: Readonly<Record<string, number>>): Model;
}

export const imageModels: readonly ModelInfo[] = [
  { name: "small-conv", options: ["filters"], create: smallConvNet },
  { name: "3c1f", options: [], create: threeC1F },
  { name: "wide-resnet", options: ["depth", "widen", "dropout"], create: wideResNet },
  { name: "densenet", options: ["depth", "growth", "compression"], create: denseNet },
  { name: "mobilenet-v2", options: [], create: mobileNetV2 },
];

/**
 * A network for images by its name.
 *
 * @param classes number of outputs
 * @throws UsageError for an unknown name or option, or a value that is out of range
 */
export function createImageModel(
  name: string,
  options: Readonly<Record<string, unknown>>,
  classes: number,
): Model {
  const model = imageModels.find((candidate) => candidate.name === name);
  if (!model) {
    const names = imageModels.map((candidate) => candidate.name);
    const near = nearest(name, names);
    throw new UsageError(
      `unknown model "${name}"; ${near ? `did you mean "${near}"?` : `known ones: ${names.join(", ")}`}`,
    );
  }
  for (const [option, value] of Object.entries(options)) {
    if (!model.options.includes(option)) {
      const takes = model.options.length > 0 ? `it takes ${model.options.join(", ")}` : "it takes none";
      throw new UsageError(`${name} has no option ${option} (${takes})`);
    }
    requireOption(typeof value === "number", `${name} ${option}`, value, "a number");
  }
  return model.create({ ...(options as Record<string, number>), classes });
}
