/** The trainer's door: configurations, parameters, predictions, evaluation, checkpoints of something else. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { exp } from "../../src/graph/index.ts";
import {
  bernoulli,
  categorical,
  createOptimizer,
  createTrainer,
  dense,
  exponentialFamily,
  gaussian,
  poisson,
  Random,
  relu,
  resumeTrainer,
  sequential,
  tanh,
  tensor,
} from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { writeSafetensors } from "../../src/training/safetensors-file.ts";
import type { TrainerConfig } from "../../src/training/trainer-config.ts";
import {
  assertSameBits,
  counting,
  isOneLine,
  type Network,
  normal,
  randomBatch,
  trainerOf,
} from "../conformance/networks.ts";
import { assertNear } from "../conformance/reference.ts";

let runtime: Runtime;
const folder = mkdtempSync(join(tmpdir(), "natgrad-trainer-"));
before(async () => {
  runtime = await openRuntime();
});
after(() => {
  rmSync(folder, { recursive: true });
  runtime?.dispose();
});

const network: Network = {
  ...{ model: sequential([dense(4), tanh(), dense(2)]), likelihood: gaussian(), inputShape: [3] },
  ...{ outputs: 2, samples: 6, seed: 2 },
};
const config: TrainerConfig = {
  ...{ model: network.model, likelihood: network.likelihood, inputShape: [3] },
  optimizer: createOptimizer("tengrad", { refreshEvery: 2, momentum: 0.5 }),
};

describe("createTrainer", () => {
  const cases: [Partial<TrainerConfig>, RegExp][] = [
    [{ batchSize: 0 }, /^invalid batchSize: 0 \(must be a positive integer\)$/],
    [{ batchSize: 1.5 }, /^invalid batchSize: 1.5 /],
    [{ dtype: "float16" as never }, /^invalid dtype: "float16" \(must be float32 \| float64\)$/],
    [{ inputShape: [] }, /^invalid inputShape: /],
    [{ inputShape: [0] }, /^invalid inputShape: /],
    [{ inputShape: [2.5] }, /^invalid inputShape: /],
    [{ inputShape: [3, 3] }, /^layer 0: invalid input of a dense layer: .*put flatten\(\) before it\)$/],
    [{ seed: 1.5 }, /^invalid seed: 1.5 \(must be an integer\)$/],
    [{ seed: Number.NaN }, /^invalid seed: NaN /],
    [{ memoryLimit: 0 }, /^invalid memoryLimit: 0 \(must be > 0 bytes\)$/],
    [
      { model: sequential([relu()]) },
      /^invalid model: "relu" \(must be one with a layer to train, such as dense\)$/,
    ],
    [
      { model: sequential([relu()]), inputShape: [2, 2] },
      /^the model's output is \(2, 2\) \(must be one axis/,
    ],
  ];
  for (const [wrong, message] of cases) {
    it(`refuses ${JSON.stringify({ ...wrong, model: wrong.model?.describe() })}`, async () => {
      await assert.rejects(createTrainer({ ...config, ...wrong }, { runtime }), (error: Error) => {
        assert.match(error.message, message);
        return isOneLine(error);
      });
    });
  }

  it("refuses misspelt options", async () => {
    const misspelt = { ...config, batchsize: 60 };
    await assert.rejects(createTrainer(misspelt, { runtime }), {
      name: "UsageError",
      message: "createTrainer has no option batchsize (did you mean batchSize?)",
    });
    await assert.rejects(createTrainer(config, { runtme: runtime } as never), {
      name: "UsageError",
      message: "createTrainer's placement has no option runtme (did you mean runtime?)",
    });
    const unset = { batchSize: undefined, dtype: undefined, device: undefined, memoryLimit: undefined };
    (await createTrainer({ ...config, ...unset }, { runtime })).dispose();
  });

  it("refuses an unknown device", async () => {
    const device = "gpu" as never;
    await assert.rejects(
      createTrainer({ ...config, device }),
      /^UsageError: invalid device: "gpu" \(must be cpu, /,
    );
  });

  it("opens and disposes a runtime of its own when none is given", async () => {
    const trainer = await createTrainer(config);
    assert.match(trainer.describe()[0], /^session /);
    assert.equal(trainer.parameterCount, 26);
    assert.equal((await trainer.step(randomBatch(network, 6, 1))).status, "ok");
    trainer.dispose();
  });
});

describe("parameters", () => {
  it("are given as copies and set by name, all or some", async () => {
    const trainer = await trainerOf(runtime, network, config.optimizer);
    const given = trainer.getParameters();
    given.get("0.bias")!.data.fill(7);
    assert.notEqual(trainer.getParameters().get("0.bias")!.data[0], 7);
    trainer.setParameters({ "0.bias": given.get("0.bias")! });
    trainer.setParameters(new Map([["2.bias", tensor(Float32Array.of(1, 2))]]));
    assert.deepEqual([...trainer.getParameters().get("0.bias")!.data], [7, 7, 7, 7]);
    assert.deepEqual([...trainer.getParameters().get("2.bias")!.data], [1, 2]);
    trainer.dispose();
  });

  it("are refused whole when one is wrong", async () => {
    const trainer = await trainerOf(runtime, network, config.optimizer);
    const before = trainer.getParameters();
    const good = tensor([9, 9, 9, 9]);
    for (const [name, value, message] of [
      ["0.biases", good, "unknown parameter 0.biases (the model has 0.weight, 0.bias, 2.weight, 2.bias)"],
      ["2.bias", good, "invalid 2.bias: shape (4) (must be (2))"],
      ["2.bias", tensor([1, Number.NaN]), "invalid 2.bias: it holds a number that is not finite"],
    ] as const) {
      const call = () => trainer.setParameters({ "0.bias": good, [name]: value });
      assert.throws(call, { name: "UsageError", message });
    }
    assertSameBits(trainer.getParameters(), before);
    trainer.dispose();
  });
});

describe("batches", () => {
  it("are refused in one line when they do not fit", async () => {
    const trainer = await trainerOf(runtime, network, config.optimizer);
    const good = randomBatch(network, 6, 1);
    const cases: [object, string][] = [
      [{ inputs: tensor(new Float64Array(24), [6, 4]) }, "invalid inputs: shape (6, 4) (must be (N, 3))"],
      [{ inputs: tensor(new Float64Array(18)) }, "invalid inputs: shape (18) (must be (N, 3))"],
      [{ inputs: tensor([], [0, 3]) }, "invalid inputs: no samples"],
      [{ targets: tensor(new Float64Array(10), [5, 2]) }, "invalid targets: shape (5, 2) (must be (6, 2))"],
    ];
    for (const [wrong, message] of cases) {
      const batch = { ...good, ...wrong };
      await assert.rejects(trainer.step(batch), { name: "UsageError", message });
      await assert.rejects(trainer.gradient(batch), { name: "UsageError", message });
      await assert.rejects(trainer.direction(batch), { name: "UsageError", message });
      await assert.rejects(trainer.evaluate(batch), { name: "UsageError", message });
      assert.throws(() => trainer.fit(batch, { epochs: 1 }), { name: "UsageError", message });
    }
    await assert.rejects(trainer.predict(tensor([1, 2], [2, 1])), isOneLine);
    assert.equal(trainer.progress.step, 0);
    trainer.dispose();
  });

  it("may hold fewer numbers of another dtype than the trainer's", async () => {
    const [a, b] = [
      await trainerOf(runtime, network, config.optimizer, { dtype: "float32" }),
      await trainerOf(runtime, network, config.optimizer, { dtype: "float32" }),
    ];
    const { inputs, targets } = randomBatch(network, 6, 1);
    const single = (of: typeof inputs) => ({ ...of, data: Float32Array.from(of.data) });
    await a.step({ inputs, targets });
    await b.step({ inputs: single(inputs), targets: single(targets) });
    assertSameBits(a.getParameters(), b.getParameters());
    a.dispose();
    b.dispose();
  });
});

describe("steps", () => {
  it("are taken one at a time", async () => {
    const trainer = await trainerOf(runtime, network, config.optimizer);
    const batch = randomBatch(network, 6, 1);
    const first = trainer.step(batch);
    const message = "a step is under way (await it first)";
    await assert.rejects(trainer.step(batch), { name: "UsageError", message });
    assert.equal((await first).status, "ok");
    assert.equal((await trainer.step(batch)).step, 1);
    trainer.dispose();
  });
});

describe("predict and evaluate", () => {
  it("take datasets of any length in chunks", async () => {
    const trainer = await trainerOf(runtime, network, config.optimizer);
    const { inputs, targets } = randomBatch(network, 2500, 1);
    const { shape, data } = await trainer.predict(inputs);
    assert.deepEqual(shape, [2500, 2]);
    let loss = 0;
    for (const row of [0, 1023, 1024, 2047, 2048, 2499]) {
      const one = await trainer.predict(tensor(inputs.data.slice(3 * row, 3 * row + 3), [1, 3]));
      assertNear(data.slice(2 * row, 2 * row + 2), one.data, 1e-12, `row ${row}`);
    }
    data.forEach((value: number, k: number) => {
      loss += 0.5 * (value - targets.data[k]) ** 2;
    });
    const evaluation = await trainer.evaluate({ inputs, targets });
    assertNear([evaluation.loss], [loss / 2500], 1e-12, "loss");
    assertNear([evaluation.metric.value], [Math.sqrt((2 * loss) / 5000)], 1e-12, "rmse");
    assert.equal(evaluation.samples, 2500);
    trainer.dispose();
  });

  it("count what is right", async () => {
    const inputs = tensor([1, -1, 2, -2], [4, 1]);
    const linear = sequential([dense(2, { bias: false })]);
    const weights = { "0.weight": tensor([1, -1], [2, 1]) }; // logits (x, −x)
    for (const [likelihood, targets, expected] of [
      [categorical(), tensor(Int32Array.of(0, 1, 1, 1)), 3 / 4],
      [bernoulli(), tensor([1, 0, 0, 1, 1, 1, 0, 0], [4, 2]), 6 / 8],
    ] as const) {
      const trainer = await trainerOf(
        runtime,
        { model: linear, likelihood, inputShape: [1] },
        config.optimizer,
      );
      trainer.setParameters(weights);
      const { metric } = await trainer.evaluate({ inputs, targets });
      assert.deepEqual(metric, { name: "accuracy", value: expected });
      trainer.dispose();
    }
  });

  it("report what a likelihood of one's own reports, or its loss", async () => {
    const inputs = tensor([0, Math.log(2)], [2, 1]);
    const targets = tensor([0, 3], [2, 1]);
    const weights = { "0.weight": tensor([1], [1, 1]) }; // rates 1 and 2
    const model = sequential([dense(1, { bias: false })]);
    const deviance = (2 * (1 + (3 * Math.log(3 / 2) - 3 + 2))) / 2;
    const loss = (1 + (2 - 3 * Math.log(2))) / 2;
    const silent = exponentialFamily({ name: "counts", logPartition: exp });
    for (const [likelihood, name, value] of [
      [poisson(), "deviance", deviance],
      [silent, "loss", loss],
    ] as const) {
      const trainer = await trainerOf(runtime, { model, likelihood, inputShape: [1] }, config.optimizer);
      trainer.setParameters(weights);
      const { metric } = await trainer.evaluate({ inputs, targets });
      assert.equal(metric.name, name);
      assertNear([metric.value], [value], 1e-12, name);
      trainer.dispose();
    }
  });

  it("may be called while another call is under way", async () => {
    // Wide enough that runs leave the event loop free.
    const wide: Network = {
      ...{ model: sequential([dense(700), tanh(), dense(700), tanh(), dense(2)]), likelihood: gaussian() },
      ...{ inputShape: [300], outputs: 2, samples: 0, seed: 1 },
    };
    const trainer = await trainerOf(runtime, wide, createOptimizer("sgd"), { dtype: "float32" });
    const inputs = [1, 2, 3].map((seed) => normal(new Random(seed), [600, 300]));
    const expected = [];
    for (const batch of inputs) expected.push(await trainer.predict(batch));
    const actual = await Promise.all(inputs.map((batch) => trainer.predict(batch)));
    for (const [k, { data }] of expected.entries()) assert.deepEqual(actual[k].data, data);
    trainer.dispose();
  });
});

describe("checkpoints", () => {
  it("are saved into folders that are made, and say in one line where they cannot be", async () => {
    const trainer = await createTrainer(config, { runtime });
    const path = join(folder, "run", "of today", "checkpoint.safetensors");
    await trainer.save(path);
    const again = await resumeTrainer(path, config, { runtime });
    assertSameBits(again.getParameters(), trainer.getParameters());
    await assert.rejects(trainer.save(join(path, "within a file.safetensors")), {
      name: "RunError",
      message: /^cannot write [^\n]*within a file\.safetensors: ENOTDIR[^\n]*$/,
    });
    again.dispose();
    trainer.dispose();
  });

  const path = join(folder, "checkpoint.safetensors");
  before(async () => {
    const trainer = await createTrainer(config, { runtime });
    for (let k = 0; k < 3; k++) await trainer.step(randomBatch(network, 6, k));
    await trainer.save(path);
    trainer.dispose();
  });

  it("resume through resumeTrainer", async () => {
    const trainer = await resumeTrainer(path, config, { runtime });
    assert.equal(trainer.progress.step, 3);
    assert.equal((await trainer.step(randomBatch(network, 6, 4))).step, 3);
    trainer.dispose();
  });

  const others: [string, Partial<TrainerConfig>, RegExp][] = [
    [
      "model",
      { model: sequential([dense(5), tanh(), dense(2)]) },
      /its model is dense\(4\) → .*, not dense\(5\)/,
    ],
    ["input", { inputShape: [4] }, /its inputShape is 3, not 4$/],
    ["likelihood", { likelihood: bernoulli() }, /its likelihood is gaussian, not bernoulli$/],
    ["dtype", { dtype: "float64" }, /its dtype is float32, not float64$/],
    ["optimizer", { optimizer: createOptimizer("adam") }, /its optimizer is tengrad, not adam$/],
    ["seed", { seed: 1 }, /its seed is 0, not 1$/],
    [
      "solver",
      { optimizer: createOptimizer("tengrad", { refreshEvery: 2, momentum: 0.5, solver: "cg" }) },
      /does not fit: the curvature saved is of another solver, Fisher type or structure$/,
    ],
  ];
  for (const [what, other, message] of others) {
    it(`of another ${what} are refused in one line, and change nothing`, async () => {
      const trainer = await createTrainer({ ...config, ...other }, { runtime });
      const before = trainer.getParameters();
      await assert.rejects(trainer.load(path), (error: Error) => {
        assert.match(error.message, message);
        return isOneLine(error);
      });
      assertSameBits(trainer.getParameters(), before);
      assert.equal(trainer.progress.step, 0);
      trainer.dispose();
      await assert.rejects(resumeTrainer(path, { ...config, ...other }, { runtime }), isOneLine);
    });
  }

  it("of an optimizer without the state that is needed are refused, and change nothing", async () => {
    const plain = createOptimizer("tengrad", { momentum: 0 });
    const without = join(folder, "no-velocity.safetensors");
    const saved = await createTrainer({ ...config, optimizer: plain }, { runtime });
    await saved.step(randomBatch(network, 6, 1));
    await saved.save(without);
    saved.dispose();
    const trainer = await createTrainer(config, { runtime });
    const before = trainer.getParameters();
    await assert.rejects(trainer.load(without), { message: `${without} has no tensor velocity/0.weight` });
    assertSameBits(trainer.getParameters(), before);
    trainer.dispose();
  });

  it("that are none are refused in one line", async () => {
    const counted = counting(runtime);
    const foreign = join(folder, "foreign.safetensors");
    await writeSafetensors(foreign, { a: tensor([1]) });
    const odd = join(folder, "odd.safetensors");
    await writeSafetensors(odd, { a: tensor([1]) }, { natgrad: "{not json" });
    const text = join(folder, "text.safetensors");
    writeFileSync(text, "epoch,loss\n1,2\n");
    for (const file of [foreign, odd, text, join(folder, "none")]) {
      await assert.rejects(resumeTrainer(file, config, { runtime: counted }), (error: Error) => {
        assert.ok(error.message.includes(file));
        return isOneLine(error);
      });
    }
    assert.equal(counted.loaded, 0);
  });

  it("survive SIGKILL while they are saved, and resume", { timeout: 60_000 }, async () => {
    const target = join(folder, "killed.safetensors");
    const script = fileURLToPath(new URL("checkpoint-forever.ts", import.meta.url));
    const random = new Random(3);
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ["--import", "tsx", script, target], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      await wait(30 * random.uniform());
      child.kill("SIGKILL");
      await once(child, "exit");
      const trainer = await resumeTrainer(target, config, { runtime });
      // The bits that an undisturbed run has after as many steps.
      const expected = await createTrainer(config, { runtime });
      const { step } = trainer.progress;
      for (let k = 0; k < step; k++) await expected.step(randomBatch(network, 6, k));
      assertSameBits(trainer.getParameters(), expected.getParameters(), `after ${step} steps`);
      trainer.dispose();
      expected.dispose();
    }
  });
});
