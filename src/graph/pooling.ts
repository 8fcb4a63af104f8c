/**
 * Pooling over windows of images (N, C, H, W).
 *
 * The derivative of a maximum goes to the place where it is attained, the first of several. That place comes as a second
 * result of the same ONNX node, so that a backward pass does not look for it again.
 */
import { formatShape } from "../tensor.ts";
import { reshape, slice } from "./arrange.ts";
import { type Convolution, outputSize, unfold } from "./convolution.ts";
import { relu } from "./functions.ts";
import { mean } from "./reduce.ts";
import { apply, type Operation, type SymbolicTensor } from "./symbolic.ts";

export interface Pooling {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  /** Rows and columns above, left, below, right of the image: −∞ under a maximum, 0 under a mean. */
  readonly padding: readonly [number, number, number, number];
}

const undilated = [1, 1] as const;

const maxPoolOperation: Operation<Pooling> = {
  name: "maxPool",
  infer([x], pooling) {
    const [samples, channels, height, width] = x.shape;
    const window = { ...pooling, dilations: undilated };
    const size = [
      outputSize(height, pooling.kernel[0], 0, window),
      outputSize(width, pooling.kernel[1], 1, window),
    ];
    if (x.rank !== 4 || size.some((count) => !(count >= 1))) {
      throw new Error(`maxPool: ${formatShape(pooling.kernel)} of ${formatShape(x.shape)}`);
    }
    return { shape: [samples, channels, ...size], dtype: x.dtype };
  },
  vjp: (node, cotangent) => [scatterToMaxima(node as SymbolicTensor, cotangent)],
  lower: ({ attributes: { kernel, strides, padding } }, [x], emit) =>
    emit.node("MaxPool", [x], {
      kernel_shape: { ints: kernel },
      strides: { ints: strides },
      pads: { ints: padding },
    }),
  flops: ({ size, attributes: { kernel } }) => size * kernel[0] * kernel[1],
};

/**
 * Largest element of each window, (N, C, H', W'). What relu clipped is clipped after the maximum instead, where there is less of it: the same numbers
 * and derivatives as long as no window lies in the padding alone.
 */
export function maxPool(x: SymbolicTensor, pooling: Pooling): SymbolicTensor {
  const { kernel, padding } = pooling;
  const meetsImage = padding.every((count, side) => count < kernel[side % 2]);
  if (x.operation.name === "relu" && meetsImage) return relu(maxPool(x.inputs[0], pooling));
  return apply(maxPoolOperation, [x], pooling);
}

type None = Record<string, never>;

/** From (N, C, H', W') to (N, C, H, W): each value to where its window of the pooled x has the maximum, zeros elsewhere. */
const scatterOperation: Operation<None> = {
  name: "scatterToMaxima",
  infer: ([pooled]) => pooled.inputs[0],
  vjp: ({ inputs: [pooled] }, cotangent) => [undefined, gatherFromMaxima(pooled, cotangent)],
  lower({ inputs: [pooled, values], shape, size }, names, emit) {
    const { kernel, strides } = pooled.attributes as Pooling;
    const flat = emit.integers([-1]);
    const zeros = emit.node("Expand", [emit.initializer([0], [1], values.dtype), emit.integers([size])]);
    const places = emit.node("Reshape", [emit.secondOutput(names[0]), flat]);
    const overlap = strides.some((stride, axis) => stride < kernel[axis]);
    const scattered = emit.node(
      "ScatterElements",
      [zeros, places, emit.node("Reshape", [names[1], flat])],
      overlap ? { axis: { int: 0 }, reduction: { string: "add" } } : { axis: { int: 0 } },
    );
    return emit.node("Reshape", [scattered, emit.integers(shape)]);
  },
};

function scatterToMaxima(pooled: SymbolicTensor, values: SymbolicTensor): SymbolicTensor {
  return apply(scatterOperation, [pooled, values], {});
}

/** The transpose of the scattering: from (N, C, H, W) to (N, C, H', W'). */
const gatherOperation: Operation<None> = {
  name: "gatherFromMaxima",
  infer: ([pooled, values]) => ({ shape: pooled.shape, dtype: values.dtype }),
  vjp: ({ inputs: [pooled] }, cotangent) => [undefined, scatterToMaxima(pooled, cotangent)],
  lower({ shape }, names, emit) {
    const flat = emit.integers([-1]);
    const places = emit.node("Reshape", [emit.secondOutput(names[0]), flat]);
    const values = emit.node("Reshape", [names[1], flat]);
    const gathered = emit.node("GatherElements", [values, places], { axis: { int: 0 } });
    return emit.node("Reshape", [gathered, emit.integers(shape)]);
  },
};

function gatherFromMaxima(pooled: SymbolicTensor, values: SymbolicTensor): SymbolicTensor {
  return apply(gatherOperation, [pooled, values], {});
}

/** Mean of each window, zeros of the padding included, (N, C, H', W'). */
export function averagePool(x: SymbolicTensor, { kernel, strides, padding }: Pooling): SymbolicTensor {
  const [samples, channels, height, width] = x.shape;
  const window = { strides, padding, dilations: undilated };
  const rows = outputSize(height, kernel[0], 0, window);
  const columns = outputSize(width, kernel[1], 1, window);
  const tiled = kernel.every((size, axis) => size === strides[axis]) && padding.every((count) => count === 0);
  if (tiled) {
    const whole = slice(x, [0, 0, 0, 0], [samples, channels, rows * kernel[0], columns * kernel[1]]);
    return mean(reshape(whole, [samples, channels, rows, kernel[0], columns, kernel[1]]), [3, 5]);
  }
  const convolution: Convolution = { ...window, groups: channels };
  const patches = unfold(x, kernel, convolution);
  return reshape(mean(patches, [2]), [samples, channels, rows, columns]);
}
