/** The program of the test's page, in the page and in a worker: what the test calls, and nothing to see. */
import { createTrainer, resumeTrainer, setWasmFolder } from "../../src/browser.ts";
import { configuration, type OptimizerName, stepTime, trainSteps } from "./task.ts";

const page = {
  setWasmFolder,

  async train(optimizer: OptimizerName, steps: number) {
    const trainer = await createTrainer(configuration(optimizer));
    const losses = await trainSteps(trainer, steps);
    const description = trainer.describe();
    trainer.dispose();
    return { losses, description };
  },

  /** Trains, keeps the checkpoint in IndexedDB, goes on; goes on from what was kept as well. */
  async resume(optimizer: OptimizerName) {
    const trainer = await createTrainer(configuration(optimizer));
    await trainSteps(trainer, 5); // an odd number: the curvature of an earlier step is part of the state
    await store(trainer.toBytes());
    const kept = await store();
    const resumed = await resumeTrainer(kept, configuration(optimizer));
    const again = resumed.toBytes();
    const losses = await Promise.all([trainSteps(trainer, 6), trainSteps(resumed, 6)]);
    const parameters = [trainer, resumed].map((each) =>
      [...each.getParameters()].map(([name, { data }]) => [name, ...data]),
    );
    trainer.dispose();
    resumed.dispose();
    return { kept: [...kept], again: [...again], losses, parameters };
  },

  /** The message with which something is refused. */
  async refusal(what: "webgpu" | "save" | "other bytes" | "a step") {
    try {
      const trainer = await createTrainer(configuration("sgd", what === "webgpu" ? "webgpu" : "cpu"));
      if (what === "save") await trainer.save("checkpoint.safetensors");
      else if (what === "other bytes") await trainer.load(new Uint8Array(100));
      else await trainSteps(trainer, 1);
    } catch (error) {
      return String(error);
    }
    return "nothing was refused";
  },

  time: stepTime,

  /** {@link train}, in a worker that runs this script. */
  async trainInWorker(optimizer: OptimizerName, steps: number) {
    const worker = new Worker("/main.js", { type: "module" });
    worker.postMessage({ optimizer, steps });
    const { data } = await new Promise<MessageEvent>((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
    });
    worker.terminate();
    return data as Awaited<ReturnType<typeof page.train>>;
  },
};

export type Page = typeof page;

if (typeof document === "undefined") {
  globalThis.onmessage = async ({ data: { optimizer, steps } }) => {
    globalThis.postMessage(await page.train(optimizer, steps));
  };
} else Object.assign(globalThis, { page });

/** Puts bytes into the page's database, or takes them out. */
async function store(bytes?: Uint8Array): Promise<Uint8Array> {
  const opening = indexedDB.open("natgrad", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("checkpoints");
  const database = await done(opening);
  const checkpoints = database.transaction("checkpoints", "readwrite").objectStore("checkpoints");
  if (bytes) await done(checkpoints.put(bytes, "last"));
  const kept = await done(checkpoints.get("last"));
  database.close();
  return kept;
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
