// Counts by Poisson regression, and successes of ten trials by a likelihood of our own.
// Run: node --import tsx examples/counts.ts

import {
  createTrainer,
  dense,
  exactNgd,
  exponentialFamily,
  type Likelihood,
  poisson,
  Random,
  sequential,
  tanh,
  tensor,
} from "natgrad";
import { multiply, softplus } from "natgrad/graph";

const random = new Random(1);
const rows = 1000;
const x = Float64Array.from({ length: rows }, () => 2 * random.uniform() - 1);

/** Fits outputs to targets of one number each, and prints them at three places beside what they should be. */
async function fit(likelihood: Likelihood, targets: Float64Array, truth: (x: number) => number) {
  const trainer = await createTrainer({
    model: sequential([dense(16), tanh(), dense(1)]),
    inputShape: [1],
    likelihood,
    optimizer: exactNgd({ learningRate: 0.3, damping: 0.03 }),
    batchSize: 128,
  });
  const data = { inputs: tensor(x, [rows, 1]), targets: tensor(targets, [rows, 1]) };
  let last = "";
  for await (const { metric } of trainer.fit(data, { epochs: 10 }))
    last = `${metric?.name} ${metric?.value.toFixed(3)}`;
  const places = [-0.8, 0, 0.8];
  const outputs = await trainer.predict(tensor(places, [3, 1])); // natural parameters: log rates, log odds
  const compared = places.map((place, k) => `${outputs.data[k].toFixed(2)} (${truth(place).toFixed(2)})`);
  console.log(`${likelihood.name}: ${last}; outputs ${compared.join(", ")}`);
  trainer.dispose();
}

const logRate = (x: number) => 1 + Math.sin(3 * x);
/** Arrivals in a unit of time, their distances exponential. */
function drawCount(rate: number): number {
  let [count, time] = [0, 0];
  while (time < rate) {
    time -= Math.log(1 - random.uniform());
    if (time < rate) count++;
  }
  return count;
}
await fit(
  poisson(),
  x.map((value) => drawCount(Math.exp(logRate(value)))),
  logRate,
);

const trials = 10;
const binomial = exponentialFamily({
  name: "binomial",
  logPartition: (f) => multiply(softplus(f), trials), // its derivatives are the mean and the variance
  targets: [0, trials],
});
const logOdds = (x: number) => 2 * x;
const drawSuccesses = (odds: number) =>
  Array.from({ length: trials }, () => random.uniform() < odds / (1 + odds)).filter(Boolean).length;
await fit(
  binomial,
  x.map((value) => drawSuccesses(Math.exp(logOdds(value)))),
  logOdds,
);
