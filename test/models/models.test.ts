/** The models: output shapes and numbers of parameters, counted by hand, for the papers' models from their tables. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Model } from "../../src/index.ts";
import { denseNet, mobileNetV2, smallConvNet, threeC1F, wideResNet } from "../../src/index.ts";
import { sizeOf } from "../../src/tensor.ts";

const square = (kernel: number, inputs: number, outputs: number) => kernel * kernel * inputs * outputs;
const normalization = (channels: number) => 2 * channels;

const hand = {
  smallConvNet: square(5, 1, 16) + 16 + square(3, 16, 32) + 32 + square(3, 32, 64) + 64 + 16 * 64 * 10 + 10,
  threeC1F: square(3, 1, 128) + 128 + 2 * (square(3, 128, 128) + 128) + 10368 * 500 + 500 + 500 * 10 + 10,
  wideResNet: wideResNetParameters(4, [64, 128, 256]),
  denseNet: denseNetParameters(),
  // torchvision's mobilenet_v2(num_classes=10), whose other strides change no shape of a parameter.
  mobileNetV2: 2_236_682,
};

function wideResNetParameters(blocks: number, widths: readonly number[]): number {
  let total = square(3, 3, 16);
  let channels = 16;
  for (const width of widths) {
    for (let block = 0; block < blocks; block++) {
      total += normalization(channels) + square(3, channels, width);
      total += normalization(width) + square(3, width, width);
      if (block === 0) total += square(1, channels, width);
      channels = width;
    }
  }
  return total + normalization(channels) + channels * 10 + 10;
}

function denseNetParameters(): number {
  let channels = 200;
  let total = square(3, 3, channels);
  for (const block of [1, 2, 3]) {
    for (let k = 0; k < 5; k++) {
      total += normalization(channels) + square(3, channels, 100);
      channels += 100;
    }
    if (block === 3) continue;
    total += normalization(channels) + square(1, channels, channels / 2);
    channels /= 2;
  }
  return total + normalization(channels) + channels * 10 + 10;
}

const cases: [keyof typeof hand, Model, number[]][] = [
  ["smallConvNet", smallConvNet(), [1, 28, 28]],
  ["threeC1F", threeC1F(), [1, 28, 28]],
  ["wideResNet", wideResNet({ depth: 28, widen: 4 }), [3, 32, 32]],
  ["denseNet", denseNet({ depth: 19, growth: 100 }), [3, 32, 32]],
  ["mobileNetV2", mobileNetV2(), [3, 32, 32]],
];

describe("models", () => {
  for (const [name, model, inputShape] of cases) {
    it(`${name} has ${hand[name]} parameters and ten outputs`, () => {
      const { outputShape, parameters } = model.build(inputShape);
      assert.deepEqual(outputShape, [10]);
      assert.equal(
        [...parameters.values()].reduce((total, { shape }) => total + sizeOf(shape), 0),
        hand[name],
      );
    });
  }

  it("refuse depths that do not exist", () => {
    assert.throws(() => wideResNet({ depth: 27 }), /wideResNet depth: 27 \(must be 6n \+ 4/);
    assert.throws(() => denseNet({ depth: 20 }), /denseNet depth: 20 \(must be 3n \+ 4/);
  });
});
