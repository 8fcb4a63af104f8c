/**
 * Ways to compute the second moments of a convolution's patches, as src/fisher/patch-moments.ts chooses between them: square windows of
 * SIDE × SIDE elements, float32, the least of several runs, and the largest difference between the two, relative to the largest moment.
 *
 * Usage: node --import tsx bench/patch-moments.ts [CHANNELS] [SIZE] [SAMPLES] [THREADS] [SIDE] [PADDING]
 */
import { distanceCost, squaresByDistance } from "../src/fisher/patch-distances.ts";
import { distancesAreCheaper, squaresOfPatches } from "../src/fisher/patch-moments.ts";
import { input, peakBytes } from "../src/graph/index.ts";
import { compile, openRuntime } from "../src/runtime/index.ts";
import { allocate, sizeOf } from "../src/tensor.ts";

const [channels = 128, size = 28, samples = 128, threads = 2, side = 3, padding = 1] = process.argv
  .slice(2)
  .map(Number);
const RUNS = 5;
const outputs = size + 2 * padding - side + 1;
const shape = [samples, channels, size, size];
const windows = {
  images: input("images", shape, "float32"),
  kernel: [side, side],
  output: [outputs, outputs],
  convolution: {
    strides: [1, 1],
    dilations: [1, 1],
    padding: [padding, padding, padding, padding],
    groups: 1,
  },
} as const;
const pixels = { patches: side ** 4 * outputs ** 2, distances: distanceCost(windows).products };
const ways = { patches: squaresOfPatches, distances: squaresByDistance };

const runtime = await openRuntime({ threads });
console.log(`${shape.join("×")}, ${runtime.threads} threads, the least of ${RUNS} runs`);
console.log(`chosen: ${distancesAreCheaper(windows) ? "distances" : "patches"}`);
const images = Float32Array.from({ length: sizeOf(shape) }, Math.random);
const results: Float32Array[] = [];
for (const way of ["patches", "distances"] as const) {
  const traced = ways[way](windows);
  const begin = performance.now();
  const program = await compile(runtime, { squares: traced });
  const loading = performance.now() - begin;
  const squares = allocate("float32", traced.size) as Float32Array;
  const binding = program.bind({ images }, { squares });
  let least = Infinity;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    await binding.run();
    least = Math.min(least, performance.now() - start);
  }
  results.push(squares.slice());
  const gigaflops = (2 * samples * channels ** 2 * pixels[way]) / 1e9;
  const speed = (gigaflops / least) * 1e3;
  const memory = peakBytes([traced]) / 2 ** 20;
  console.log(
    `${way.padEnd(10)} ${least.toFixed(0).padStart(6)} ms, ${gigaflops.toFixed(0)} GFLOP, ${speed.toFixed(0)} GFLOP/s, ${memory.toFixed(0)} MiB at a time, loaded in ${loading.toFixed(0)} ms`,
  );
  binding.dispose();
  program.dispose();
}
const [exact, other] = results;
const largest = exact.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const difference = exact.reduce((most, value, k) => Math.max(most, Math.abs(value - other[k])), 0);
console.log(`largest difference ${(difference / largest).toExponential(1)}`);
runtime.dispose();
