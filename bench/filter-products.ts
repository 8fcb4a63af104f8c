/**
 * Ways to compute the derivative of a convolution with respect to its filters, as src/graph/filter-products.ts chooses among them: square filters of
 * an odd number of elements a side, padded so that images keep their size, float32, the least of several runs. On a busy machine the processors' time with one thread is what can be compared.
 *
 * Usage: node --import tsx bench/filter-products.ts [CHANNELS] [FILTERS] [SIZE] [SAMPLES] [THREADS] [SIDE]
 */
import {
  concatenate,
  convolve,
  filterProducts,
  input,
  matmul,
  pad,
  reshape,
  type SymbolicTensor,
  slice,
  sum,
  transpose,
} from "../src/graph/index.ts";
import { compile, openRuntime } from "../src/runtime/index.ts";
import { allocate, sizeOf } from "../src/tensor.ts";

const [channels = 128, filters = 128, size = 28, samples = 128, threads = 2, side = 3] = process.argv
  .slice(2)
  .map(Number);
const RUNS = 10;
const KERNEL = [side, side] as const;
const around = (side - 1) / 2;
const padding = [around, around, around, around] as const;
const same = { strides: [1, 1], dilations: [1, 1], padding, groups: 1 } as const;

/** x (N, C, H, W), y (N, O, H, W) and filters (O, C, k, k); the products have the filters' shape. */
type Form = (x: SymbolicTensor, y: SymbolicTensor, filters: SymbolicTensor) => SymbolicTensor;

const flat = (images: SymbolicTensor) => reshape(images, [samples, images.shape[1], size * size]);

/** x as the window's elements see it. */
function views(x: SymbolicTensor): SymbolicTensor[] {
  const padded = pad(x, [0, 0, around, around], [0, 0, around, around]);
  return Array.from({ length: side ** 2 }, (_, element) => {
    const [row, column] = [Math.floor(element / side), element % side];
    return slice(padded, [0, 0, row, column], [samples, channels, row + size, column + size]);
  });
}

const forms: Record<string, Form> = {
  "as it is chosen": (x, y) => filterProducts(x, y, KERNEL, same),
  "a product for each shifted view": (x, y) => {
    const parts = views(x).map((view) => sum(matmul(flat(y), flat(view), { transposeB: true }), [0]));
    return concatenate(
      parts.map((part) => reshape(part, [filters, channels, 1])),
      2,
    );
  },
  "one product with all patches": (x, y) => {
    const patches = concatenate(views(x).map(flat), 1);
    return sum(matmul(flat(y), patches, { transposeB: true }), [0]);
  },
  "one product with all patches of all samples": (x, y) => {
    const rows = (images: SymbolicTensor) => {
      const byChannel = transpose(flat(images), [1, 0, 2]);
      return reshape(byChannel, [images.shape[1], samples * size * size]);
    };
    const all = concatenate(views(x).map(rows), 0);
    return matmul(rows(y), all, { transposeB: true });
  },
  "a convolution of every channel, samples as channels": (x, y) =>
    convolve(transpose(x, [1, 0, 2, 3]), transpose(y, [1, 0, 2, 3]), same),
  "the convolution itself, as many operations": (x, _, w) => convolve(x, w, same),
};

const runtime = await openRuntime({ threads });
const gigaflops = (2 * side ** 2 * samples * channels * filters * size ** 2) / 1e9;
const shapes = {
  x: [samples, channels, size, size],
  y: [samples, filters, size, size],
  filters: [filters, channels, ...KERNEL],
};
console.log(`${gigaflops.toFixed(1)} GFLOP, ${runtime.threads} threads, the least of ${RUNS} runs`);
for (const [name, form] of Object.entries(forms)) {
  const [x, y, w] = Object.entries(shapes).map(([operand, shape]) => input(operand, shape, "float32"));
  const program = await compile(runtime, { products: form(x, y, w) });
  const feeds = Object.fromEntries(
    program.inputs.map(({ name, shape }) => [
      name,
      Float32Array.from({ length: sizeOf(shape) }, Math.random),
    ]),
  );
  const binding = program.bind(feeds, { products: allocate("float32", sizeOf(program.outputs[0].shape)) });
  let [least, leastBusy] = [Infinity, Infinity];
  for (let run = 0; run < RUNS; run++) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await binding.run();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, performance.now() - start);
    leastBusy = Math.min(leastBusy, (user + system) / 1000);
  }
  const time = (milliseconds: number) => `${milliseconds.toFixed(1).padStart(7)} ms`;
  const speed = (gigaflops / least) * 1e3;
  console.log(
    `${name.padEnd(52)} ${time(least)}, ${time(leastBusy)} of processors, ${speed.toFixed(0)} GFLOP/s`,
  );
  binding.dispose();
  program.dispose();
}
runtime.dispose();
