// Trains in the page: three optimizers on the same points, drawn as they learn.
// Run: npm run example:browser

import {
  adam,
  createTrainer,
  dense,
  gaussian,
  type Optimizer,
  Random,
  sequential,
  setWasmFolder,
  sgd,
  type Trainer,
  tanh,
  tengrad,
  tensor,
} from "natgrad";
import { Chart, powersOfTen } from "./chart.ts";

setWasmFolder("ort");

interface Method {
  readonly name: string;
  readonly settings: string;
  readonly optimizer: Optimizer;
}

interface Run extends Method {
  readonly trainer: Trainer;
  readonly history: { step: number; milliseconds: number; loss: number }[];
  loss: number;
  /** Time trained and steps taken in it: the first step with so many points compiles, and does not count. */
  milliseconds: number;
  timedSteps: number;
  compiledFor: number;
}

const methods: readonly Method[] = [
  { name: "sgd", settings: "0.2, momentum 0.9", optimizer: sgd({ learningRate: 0.2, momentum: 0.9 }) },
  { name: "adam", settings: "0.03", optimizer: adam({ learningRate: 0.03 }) },
  {
    name: "tengrad",
    settings: "0.5, damping 0.01, exact Fisher",
    optimizer: tengrad({ learningRate: 0.5, damping: 0.01, fisher: "exact" }),
  },
];
const firstPoints = 60;
/** Milliseconds that a method trains for in one frame, and in all. */
const turn = 4;
const limit = 10_000;

const find = (id: string) => document.getElementById(id)!;
const ticks = (values: readonly number[]) => values.map((at) => ({ at, text: String(at).replace("-", "−") }));
const fits = new Chart(
  find("fits"),
  "Points and the function that each method has learned",
  { from: -2, to: 2, ticks: ticks([-2, -1, 0, 1, 2]) },
  { from: -2, to: 2, ticks: ticks([-2, -1, 0, 1, 2]) },
);
const horizontal = {
  steps: powersOfTen(0, ["1", "10", "100", "1k", "10k", "100k"], "steps"),
  time: powersOfTen(0, ["1 ms", "10 ms", "100 ms", "1 s", "10 s"], "time trained"),
};
const losses = new Chart(
  find("losses"),
  "Loss of each method",
  horizontal.steps,
  powersOfTen(-4, ["0.0001", "0.001", "0.01", "0.1", "1"]),
);
const grid = tensor(
  Float32Array.from({ length: 121 }, (_, k) => k / 30 - 2),
  [121, 1],
);

const points = drawPoints();
let runs: Run[] = [];
let isByTime = false;
let isPaused = false;
let wantsRestart = true;

/** A noisy wave that grows to the right. */
function drawPoints(): [number, number][] {
  const random = new Random(4);
  return Array.from({ length: firstPoints }, () => {
    const x = 4 * random.uniform() - 2;
    return [x, Math.sin(3 * x) * (0.6 + 0.3 * x) + 0.08 * random.normal()];
  });
}

async function startRun(method: Method): Promise<Run> {
  const trainer = await createTrainer({
    model: sequential([dense(16), tanh(), dense(16), tanh(), dense(1)]),
    inputShape: [1],
    likelihood: gaussian(),
    optimizer: method.optimizer,
    seed: 1,
  });
  return {
    ...method,
    trainer,
    history: [],
    loss: Number.NaN,
    milliseconds: 0,
    timedSteps: 0,
    compiledFor: 0,
  };
}

/** Takes steps on all the points until the method's turn is over. */
async function train(run: Run): Promise<void> {
  const batch = {
    inputs: tensor(
      Float32Array.from(points, ([x]) => x),
      [points.length, 1],
    ),
    targets: tensor(
      Float32Array.from(points, ([, y]) => y),
      [points.length, 1],
    ),
  };
  if (run.compiledFor !== points.length) {
    run.loss = (await run.trainer.step(batch)).loss;
    run.compiledFor = points.length;
    record(run);
  }
  const before = run.milliseconds;
  const start = performance.now();
  while (run.milliseconds - before < turn) {
    run.loss = (await run.trainer.step(batch)).loss;
    run.milliseconds = before + performance.now() - start;
    run.timedSteps++;
    record(run);
  }
}

/** Keeps every step at first and fewer later, as many as can be seen on a logarithmic axis. */
function record({ trainer, history, milliseconds, loss }: Run): void {
  const { step } = trainer.progress;
  if (step >= 1.03 * (history.at(-1)?.step ?? 0)) history.push({ step, milliseconds, loss });
}

async function draw(): Promise<void> {
  drawLosses();
  for (const { name, trainer } of runs) {
    const { data } = await trainer.predict(grid);
    fits.line(
      name,
      Array.from(data, (y, k) => [grid.data[k], y] as const),
    );
  }
  find("runs").replaceChildren(...runs.map(row));
}

function drawLosses(): void {
  for (const { name, history } of runs) {
    losses.line(
      name,
      history.map(({ step, milliseconds, loss }) => [isByTime ? milliseconds : step, loss]),
    );
  }
}

function row({ name, settings, trainer, milliseconds, timedSteps, loss }: Run): HTMLElement {
  const line = document.createElement("tr");
  const { step } = trainer.progress;
  line.className = name;
  const cells = [
    loss.toPrecision(3),
    step.toLocaleString("en"),
    `${(milliseconds / timedSteps).toFixed(2)} ms`,
  ];
  const head = document.createElement("th");
  head.scope = "row";
  const about = document.createElement("small");
  about.textContent = settings;
  head.append(name, about);
  line.append(head);
  for (const text of cells) line.insertCell().textContent = text;
  for (const cell of line.cells) if (cell !== head) cell.className = "number";
  return line;
}

async function restart(): Promise<void> {
  for (const { trainer } of runs) trainer.dispose();
  runs = await Promise.all(methods.map(startRun));
  wantsRestart = false;
}

async function frame(): Promise<void> {
  if (wantsRestart) await restart();
  const isOver = runs.every(({ milliseconds }) => milliseconds >= limit);
  if (!isPaused && !isOver) for (const run of runs) await train(run);
  if (!isPaused && !isOver) await draw();
  const [, threads] = runs[0].trainer.describe();
  find("status").textContent = isOver ? "Ten seconds each are over." : `${points.length} points · ${threads}`;
  requestAnimationFrame(() => void frame().catch(report));
}

function report(error: unknown): void {
  find("status").textContent = String(error);
}

function setPaused(paused: boolean): void {
  isPaused = paused;
  find("pause").textContent = paused ? "Continue" : "Pause";
}

function setAxis(byTime: boolean): void {
  isByTime = byTime;
  losses.setX(byTime ? horizontal.time : horizontal.steps);
  drawLosses();
  find("by-time").setAttribute("aria-pressed", String(byTime));
  find("by-steps").setAttribute("aria-pressed", String(!byTime));
}

find("by-steps").addEventListener("click", () => setAxis(false));
find("by-time").addEventListener("click", () => setAxis(true));
find("restart").addEventListener("click", () => {
  wantsRestart = true;
  setPaused(false);
});
find("pause").addEventListener("click", () => setPaused(!isPaused));
fits.onClick((x, y) => {
  points.push([x, y]);
  fits.dots(points);
});
fits.dots(points);

frame().then(() => {
  for (const id of ["pause", "restart"]) (find(id) as HTMLButtonElement).disabled = false;
}, report);
