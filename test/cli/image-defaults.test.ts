/** Which defaults a method has on the command line, by the kind of network. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { methodOptions, type TrainingOptions } from "../../src/cli/training-options.ts";
import { createOptimizer, methods } from "../../src/index.ts";

const given = (options: Partial<TrainingOptions>) => ({ model: "dense", ...options }) as TrainingOptions;

describe("defaults on the command line", () => {
  it("are the method's own for dense networks, others for convolutional ones", () => {
    for (const { name, defaults, imageDefaults } of methods) {
      assert.deepEqual(methodOptions(name, given({}), false), defaults, name);
      const forImages = methodOptions(name, given({ model: "small-conv" }), false);
      assert.deepEqual(forImages, { ...defaults, ...imageDefaults }, name);
      assert.equal(createOptimizer(name, forImages).name, name);
    }
  });

  it("give way to what is asked for", () => {
    const asked = given({ model: "3c1f", learningRate: 0.5, option: [{ key: "refreshEvery", value: 3 }] });
    const { learningRate, refreshEvery, damping } = methodOptions("kfac", asked, false);
    assert.deepEqual([learningRate, refreshEvery, damping], [0.5, 3, 0.3]);
  });
});
