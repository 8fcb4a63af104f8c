import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assignment } from "../../src/cli/arguments.ts";
import {
  describeModel,
  type ModelOptions,
  modelConfig,
  modelName,
  modelNames,
} from "../../src/cli/models.ts";
import { UsageError } from "../../src/errors.ts";
import { createImageModel } from "../../src/models/registry.ts";

const read = (options: Partial<ModelOptions>) => modelConfig({ model: "dense", ...options });
const assigned = assignment("--model-option");

describe("the network on the command line", () => {
  it("is dense unless it is named, and described in a few words", () => {
    assert.deepEqual(read({}), { hidden: [32, 16], activation: "tanh" });
    assert.equal(describeModel(read({ hidden: [] })), "no hidden layer");
    assert.equal(describeModel(read({ hidden: [4, 2], activation: "relu" })), "hidden layers 4-2, relu");
    const wide = read({ model: "wide-resnet", modelOption: assigned("widen=2", assigned("depth=10")) });
    assert.deepEqual(wide, { name: "wide-resnet", options: { depth: 10, widen: 2 } });
    assert.equal(describeModel(wide), "wide-resnet, depth 10, widen 2");
  });

  it("is made by each of its names, for any number of classes", () => {
    for (const name of modelNames.filter((candidate) => candidate !== "dense")) {
      assert.deepEqual(createImageModel(name, {}, 7).build([3, 32, 32]).outputShape, [7]);
    }
  });

  const refused: [() => unknown, string][] = [
    [() => modelName("3c1"), 'invalid --model: "3c1" (did you mean "3c1f"?)'],
    [
      () => modelName("transformer"),
      'invalid --model: "transformer" (must be dense | small-conv | 3c1f | wide-resnet | densenet | mobilenet-v2)',
    ],
    [() => read({ model: "3c1f", hidden: [8] }), "--hidden is for dense networks, not for 3c1f"],
    [() => read({ model: "3c1f", activation: "sin" }), "--activation is for dense networks, not for 3c1f"],
    [
      () => read({ modelOption: assigned("depth=9") }),
      "--model-option is for the networks for images (dense takes --hidden, --activation)",
    ],
    [() => assigned("9"), 'invalid --model-option: "9" (must be key=value)'],
    [
      () => createImageModel("small-conv", { depth: 9 }, 10),
      "small-conv has no option depth (it takes filters)",
    ],
    [() => createImageModel("3c1f", { depth: 9 }, 10), "3c1f has no option depth (it takes none)"],
    [
      () => createImageModel("small-conv", { filters: "many" }, 10),
      'invalid small-conv filters: "many" (must be a number)',
    ],
    [
      () => createImageModel("wide-resnet", { depth: 9 }, 10),
      "invalid wideResNet depth: 9 (must be 6n + 4, as 10, 16, 28)",
    ],
    [() => createImageModel("3c1", {}, 10), 'unknown model "3c1"; did you mean "3c1f"?'],
  ];
  for (const [call, message] of refused) it(message, () => assert.throws(call, new UsageError(message)));
});
