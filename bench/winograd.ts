/**
 * Convolutions by Winograd's algorithm beside ONNX Runtime's Conv: 3 × 3 filters, padded by 1, float32, the least of several runs, and how far the results
 * are from float64's. Images come and go as (N, C, H, W), so turning them over is part of the time; between two such convolutions it is not needed.
 *
 * Usage: node --import tsx bench/winograd.ts [CHANNELS] [FILTERS] [SIZE] [SAMPLES] [THREADS]
 */
import { withBias } from "../src/graph/convolution.ts";
import {
  type Convolution,
  constant,
  convolve,
  convolveTransposed,
  filterProducts,
  input,
  type SymbolicTensor,
} from "../src/graph/index.ts";
import { compile, openRuntime } from "../src/runtime/index.ts";
import { allocate, type FloatDType, sizeOf, type TypedArray } from "../src/tensor.ts";

const [channels = 128, filters = 128, size = 28, samples = 128, threads = 2] = process.argv
  .slice(2)
  .map(Number);
const RUNS = 10;
const KERNEL = [3, 3] as const;
const same: Convolution = { strides: [1, 1], dilations: [1, 1], padding: [1, 1, 1, 1], groups: 1 };
const shapes = {
  x: [samples, channels, size, size],
  w: [filters, channels, ...KERNEL],
  y: [samples, filters, size, size],
};

type Form = (operands: Record<keyof typeof shapes, SymbolicTensor>) => SymbolicTensor;

const forms: Record<string, Form> = {
  // What has a bias already is left to ONNX Runtime.
  "Conv of ONNX Runtime": ({ x, w }) =>
    withBias(convolve(x, w, same), constant(new Array(filters).fill(0), [filters], x.dtype)),
  convolution: ({ x, w }) => convolve(x, w, same),
  "to the input": ({ y, w }) => convolveTransposed(y, w, same, [size, size]),
  "to the filters": ({ x, y }) => filterProducts(x, y, KERNEL, same),
};

const numbers = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => [
    name,
    Float32Array.from({ length: sizeOf(shape) }, () => Math.random() - 0.5),
  ]),
);
const runtime = await openRuntime({ threads });

/** The result and the least milliseconds of several runs. */
async function evaluate(form: Form, dtype: FloatDType, runs: number): Promise<[TypedArray, number]> {
  const operands = Object.entries(shapes).map(([name, shape]) => [name, input(name, shape, dtype)]);
  const program = await compile(runtime, { result: form(Object.fromEntries(operands)) });
  const feeds = Object.fromEntries(
    program.inputs.map(({ name }) => [
      name,
      dtype === "float32" ? numbers[name] : Float64Array.from(numbers[name]),
    ]),
  );
  const result = allocate(dtype, sizeOf(program.outputs[0].shape));
  const binding = program.bind(feeds, { result });
  let least = Infinity;
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await binding.run();
    least = Math.min(least, performance.now() - start);
  }
  binding.dispose();
  program.dispose();
  return [result, least];
}

/** ‖a − b‖/‖b‖. */
function distance(a: TypedArray, b: TypedArray): number {
  let [error, norm] = [0, 0];
  for (let k = 0; k < b.length; k++) {
    error += (Number(a[k]) - Number(b[k])) ** 2;
    norm += Number(b[k]) ** 2;
  }
  return Math.sqrt(error / norm);
}

console.log(
  `${channels} to ${filters} channels, ${size} × ${size}, ${samples} samples, ${runtime.threads} threads`,
);
for (const [name, form] of Object.entries(forms)) {
  const [single, milliseconds] = await evaluate(form, "float32", RUNS);
  const exact = name.startsWith("Conv") ? forms.convolution : form;
  const [double] = await evaluate(exact, "float64", 1);
  const rounding = distance(single, double).toExponential(1);
  console.log(`${name.padEnd(22)} ${milliseconds.toFixed(1).padStart(7)} ms, rounding ${rounding}`);
}
runtime.dispose();
