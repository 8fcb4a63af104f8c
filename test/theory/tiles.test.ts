import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryError } from "../../src/errors.ts";
import { analyticKernels, kernelMemory, tiledKernels, type WideNetwork } from "../../src/theory/index.ts";
import { assertClose, randomMatrix } from "./support.ts";

const network: WideNetwork = { depth: 3, activation: "relu", sigmaW: 1.4, sigmaB: 0.2 };

describe("tiled kernels", () => {
  it("equal the plain computation, with edges, test points and a set of kernels", async () => {
    const [x, test] = [randomMatrix(300, 7, 1), randomMatrix(140, 7, 2)];
    const progress: number[] = [];
    const keep = ["theta", "theta.2", "A.0", "A.2", "Q.3", "B.1"] as const;
    const tiled = await tiledKernels(network, x, {
      ...{ test, keep },
      onProgress: (done, total) => {
        assert.equal(total, (300 * 301) / 2 + 140 * 300);
        progress.push(done);
      },
    });
    assert.equal(progress.at(-1), (300 * 301) / 2 + 140 * 300);
    assert.ok(progress.every((done, k) => k === 0 || done > progress[k - 1]));
    for (const [of, plain] of [
      ["train", analyticKernels(network, x)],
      ["test", analyticKernels(network, x, test)],
    ] as const) {
      const expected = {
        ...{ theta: plain.theta, "theta.2": plain.layers[1], "A.0": plain.A[0], "A.2": plain.A[2] },
        ...{ "Q.3": plain.Q[2], "B.1": plain.B[0] },
      };
      for (const name of keep) {
        const kernel = tiled[of].get(name)!;
        assert.deepEqual(kernel.shape, plain.theta.shape);
        // Products come in another order of summation; arccos takes their rounding, ε, to √ε at worst, near equal points.
        assertClose(kernel.data, expected[name].data, 1e-12, `${of} ${name}`);
      }
    }
  });

  it("are symmetric bit for bit, with exact diagonals", async () => {
    const x = randomMatrix(200, 5, 3);
    const { train, test } = await tiledKernels(network, x);
    const { data } = train.get("theta")!;
    const plain = analyticKernels(network, x).theta.data;
    for (let i = 0; i < 200; i++) {
      assert.equal(data[i * 201], plain[i * 201]);
      for (let j = 0; j < i; j++) assert.equal(data[i * 200 + j], data[j * 200 + i]);
    }
    assert.equal(test.size, 0);
  });

  it("know their memory beforehand: one Θ of 10,000 points fits where five kernels do not", () => {
    const size = { train: 10_000, features: 784, depth: 3 };
    const one = kernelMemory(size);
    assert.ok(one > 8e8 && one < 9e8, String(one));
    assert.ok(kernelMemory({ ...size, kept: 5 }) > 4e9);
    assert.ok(kernelMemory({ ...size, test: 10_000 }) > 1.6e9);
  });

  it("refuse with the number what would not fit, before anything is allocated", async () => {
    const data = new Float64Array(2_000_000);
    const points = { shape: [2_000_000, 1], data };
    const before = process.memoryUsage().arrayBuffers;
    await assert.rejects(
      tiledKernels(network, points, { memoryLimit: 2 ** 30 }),
      (error: Error) =>
        error instanceof MemoryError &&
        /kernels of 2000000 points needs 29\.1 TiB, the limit is 1\.0 GiB/.test(error.message),
    );
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20);
  });

  it("stop when asked, and refuse kernels that there are not", async () => {
    const x = randomMatrix(150, 3, 4);
    const controller = new AbortController();
    const stopped = tiledKernels(network, x, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    await assert.rejects(stopped, /enough/);
    for (const name of ["A.3", "theta.0", "Q.4", "B.x"]) {
      await assert.rejects(tiledKernels(network, x, { keep: [name as "theta"] }), /invalid kernel: /);
    }
  });

  it("let the event loop breathe", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await tiledKernels(network, randomMatrix(500, 10, 5));
    clearInterval(timer);
    assert.ok(turns >= 3, `${turns} turns`);
  });
});
