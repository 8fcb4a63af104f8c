/** Squared scores of convolutions in a basis, by rows and by positions, against products of the rows themselves. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { keptForScale, squaredInBasis } from "../../src/curvature/ekfac-scale.ts";
import { type ConvolutionScores, linearForm, sampleRows } from "../../src/fisher/index.ts";
import {
  type Convolution,
  concatenate,
  input,
  matmul,
  outputSize,
  type SymbolicTensor,
  square,
  sum,
} from "../../src/graph/index.ts";
import { Random } from "../../src/random.ts";
import { evaluate } from "../../src/runtime/program.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import type { Tensor } from "../../src/tensor.ts";
import { normal } from "../conformance/networks.ts";
import { assertClose } from "../graph/support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

interface Plan {
  readonly channels: number;
  readonly units: number;
  readonly size: number;
  readonly kernel: number;
  readonly samples: number;
  readonly draws?: number;
  readonly bias?: boolean;
  /** Strides, padding and dilations that differ from one, zero and one. */
  readonly apart?: true;
}

function scoresOf({
  channels,
  units,
  size,
  kernel,
  samples,
  draws = 1,
  bias = true,
  apart,
}: Plan): ConvolutionScores {
  const convolution: Convolution = apart
    ? { strides: [2, 1], padding: [1, 0, 2, 1], dilations: [1, 2], groups: 1 }
    : { strides: [1, 1], padding: [0, 0, 0, 0], dilations: [1, 1], groups: 1 };
  const output = ([0, 1] as const).map((axis) => outputSize(size, kernel, axis, convolution));
  const deltas = input("deltas", [draws * samples, units, ...output], "float64");
  return {
    ...{ kind: "convolution", layer: "0", weight: "0.weight", biasInput: 1, deltas, preactivations: deltas },
    ...{ bias: bias ? "0.bias" : undefined, rowsPerSample: draws, kernel: [kernel, kernel] },
    inputs: input("images", [samples, channels, size, size], "float64"),
    convolution,
  };
}

const cases: readonly [name: string, slots: string, plan: Plan][] = [
  ["rows, kept", "scoreRows", { channels: 2, units: 2, size: 8, kernel: 2, samples: 3 }],
  ["rows of images", "deltas,inputs", { channels: 3, units: 10, size: 6, kernel: 3, samples: 3 }],
  ["positions", "deltas,inputs", { channels: 4, units: 9, size: 4, kernel: 3, samples: 5 }],
  ["rows of two draws", "scoreRows", { channels: 2, units: 2, size: 8, kernel: 2, samples: 3, draws: 2 }],
  [
    "positions of two draws",
    "deltas,inputs",
    { channels: 4, units: 9, size: 4, kernel: 3, samples: 5, draws: 2 },
  ],
  [
    "positions without a bias",
    "deltas,inputs",
    { channels: 4, units: 9, size: 4, kernel: 3, samples: 5, bias: false },
  ],
  [
    "positions apart",
    "deltas,inputs",
    { channels: 4, units: 20, size: 5, kernel: 2, samples: 4, apart: true },
  ],
];

describe("squared scores in a basis", () => {
  for (const [name, slots, plan] of cases) {
    for (const form of ["positions", "means"] as const) {
      it(`of a convolution's ${form}: ${name}`, async () => {
        const scores = scoresOf(plan);
        const layer = linearForm(scores, form).linear;
        const features = plan.channels * plan.kernel ** 2;
        const width = features + (plan.bias === false ? 0 : 1);
        const shapes: Record<string, readonly number[]> = {
          weightBasis: [features, width],
          ...(plan.bias !== false && { biasBasis: [1, width] }),
          outputBasis: [plan.units, plan.units],
        };
        const random = new Random(3);
        const given: Record<string, Tensor> = {
          images: normal(random, scores.inputs.shape),
          deltas: normal(random, scores.deltas.shape),
        };
        const basis: Record<string, SymbolicTensor> = {};
        for (const [slot, shape] of Object.entries(shapes)) {
          basis[slot] = input(slot, shape, "float64");
          given[slot] = normal(random, shape);
        }
        const kept = keptForScale(layer);
        assert.equal(Object.keys(kept).sort().join(), slots);

        const { weightBasis, biasBasis, outputBasis } = basis;
        const inputBasis = biasBasis ? concatenate([weightBasis, biasBasis]) : weightBasis;
        const turned = matmul(matmul(outputBasis, sampleRows(scores), { transposeA: true }), inputBasis);
        const { all, inChunks, expected } = await evaluate(
          runtime,
          {
            all: squaredInBasis(layer, { ...kept, ...basis }),
            inChunks: squaredInBasis(layer, { ...kept, ...basis }, (2 * 8 * turned.size) / turned.shape[0]),
            expected: sum(square(turned), [0]),
          },
          given,
        );
        const bound = { relative: 1e-10, absolute: 1e-10 };
        assertClose(all.data, expected.data, "all at once", bound);
        assertClose(inChunks.data, expected.data, "two at a time", bound);
      });
    }
  }
});
