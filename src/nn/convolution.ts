/**
 * Two-dimensional convolution.
 *
 *   s[n, o, y, x] = b[o] + Σ_{c,i,j} W[o, c, i, j] · a[n, c, y·stride + i·dilation − padding, x·stride + j·dilation − padding]
 *
 * with PyTorch's names and defaults. With groups, filters see the channels of their group alone; as many groups as channels
 * is a depthwise convolution.
 */
import { requireOption } from "../errors.ts";
import { add, type Convolution, convolve, outputSize, reshape } from "../graph/index.ts";
import { formatShape, sizeOf } from "../tensor.ts";
import { type InitializerName, initialize, initializerNames } from "./initializers.ts";
import type { Layer, ParameterSpec } from "./layer.ts";

/** One number for both axes, or rows and columns. */
export type Size = number | readonly [number, number];

export interface Conv2dOptions {
  /** Rows and columns of a filter; default 3. */
  readonly kernel?: Size;
  /** Default 1. */
  readonly stride?: Size;
  /** Zeros around the image, or `"same"` for as many as keep its size under a stride of 1; default 0. */
  readonly padding?: Size | "same";
  /** Distance of a filter's elements; default 1. */
  readonly dilation?: Size;
  /** Default 1; must divide channels and filters. */
  readonly groups?: number;
  /** Whether there is a bias; default true. */
  readonly bias?: boolean;
  /** Distribution of the initial weights; default `"pytorch"`. */
  readonly initializer?: InitializerName;
}

/**
 * A convolution (N, C, H, W) → (N, filters, H', W') with parameters `weight` (filters, C/groups, k_h, k_w) and `bias` (filters).
 *
 * @throws UsageError when an option is out of range
 */
export function conv2d(filters: number, options: Conv2dOptions = {}): Layer {
  const { bias = true, groups = 1, initializer = "pytorch" } = options;
  requireCount("conv2d filters", filters);
  requireCount("conv2d groups", groups);
  const kernel = pair("conv2d kernel", options.kernel ?? 3, 1);
  const strides = pair("conv2d stride", options.stride ?? 1, 1);
  const dilations = pair("conv2d dilation", options.dilation ?? 1, 1);
  const padding = paddingOf(options.padding ?? 0, kernel, strides, dilations);
  requireOption(filters % groups === 0, "conv2d groups", groups, `a divisor of the ${filters} filters`);
  requireOption(
    initializerNames.includes(initializer),
    "initializer",
    initializer,
    initializerNames.join(" | "),
  );
  const convolution: Convolution = { strides, padding, dilations, groups };

  return {
    type: "conv2d",
    describe: () => `conv2d(${[filters, ...described(kernel, convolution, bias)].join(", ")})`,
    build(inputShape) {
      const [channels, ...size] = imageShape("conv2d", inputShape);
      requireOption(
        channels % groups === 0,
        "conv2d groups",
        groups,
        `a divisor of the ${channels} channels`,
      );
      const outputs = windowCounts("conv2d", size, kernel, convolution);
      const shape = [filters, channels / groups, ...kernel];
      const area = kernel[0] * kernel[1];
      const fans = { fanIn: (channels / groups) * area, fanOut: (filters / groups) * area };
      const spec = (part: "weight" | "bias", partShape: readonly number[]): ParameterSpec => ({
        shape: partShape,
        initialize: (random) => initialize(initializer, part, sizeOf(partShape), fans, random),
      });
      const weight = spec("weight", shape);
      const parameters: Record<string, ParameterSpec> = bias
        ? { weight, bias: spec("bias", [filters]) }
        : { weight };
      return { outputShape: [filters, ...outputs], parameters };
    },
    apply(x, parameters, trace) {
      const product = convolve(x, parameters.weight, convolution);
      const preactivations = bias ? add(product, reshape(parameters.bias, [filters, 1, 1])) : product;
      trace.tap({
        ...{ kind: "convolution", weight: "weight", bias: bias ? "bias" : undefined },
        ...{ inputs: x, preactivations, biasInput: 1, kernel, convolution },
      });
      return preactivations;
    },
  };
}

/** Channels, height and width of one sample. @throws UsageError for any other shape */
export function imageShape(layer: string, shape: readonly number[]): readonly [number, number, number] {
  requireOption(
    shape.length === 3,
    `input of a ${layer} layer`,
    formatShape(shape),
    "an image: channels, height, width",
  );
  return [shape[0], shape[1], shape[2]];
}

/** Rows and columns of windows. @throws UsageError where not one window fits */
export function windowCounts(
  layer: string,
  size: readonly number[],
  kernel: readonly [number, number],
  window: Omit<Convolution, "groups">,
): [number, number] {
  const counts = ([0, 1] as const).map((axis) => outputSize(size[axis], kernel[axis], axis, window));
  requireOption(
    counts.every((count) => count >= 1),
    `input of a ${layer} layer`,
    size.join(" × "),
    `an image that holds a window of ${kernel.join(" × ")}`,
  );
  return [counts[0], counts[1]];
}

/** @throws UsageError unless both numbers are whole and at least `least` */
export function pair(option: string, size: Size, least: number): readonly [number, number] {
  const [rows, columns] = typeof size === "number" ? [size, size] : size;
  for (const count of [rows, columns]) {
    requireOption(Number.isInteger(count) && count >= least, option, count, `a whole number >= ${least}`);
  }
  return [rows, columns];
}

function requireCount(option: string, count: number): void {
  requireOption(Number.isInteger(count) && count > 0, option, count, "a positive integer");
}

function paddingOf(
  padding: Size | "same",
  kernel: readonly [number, number],
  strides: readonly [number, number],
  dilations: readonly [number, number],
): Convolution["padding"] {
  if (padding !== "same") {
    const [rows, columns] = pair("conv2d padding", padding, 0);
    return [rows, columns, rows, columns];
  }
  const unit = strides.every((stride) => stride === 1);
  requireOption(unit, "conv2d padding", padding, "numbers with a stride above 1");
  const [height, width] = kernel.map((size, axis) => dilations[axis] * (size - 1));
  const [top, left] = [Math.floor(height / 2), Math.floor(width / 2)];
  return [top, left, height - top, width - left];
}

/** What differs from the defaults. */
function described(kernel: readonly number[], convolution: Convolution, bias: boolean): string[] {
  const { strides, padding, dilations, groups } = convolution;
  const sizes = (values: readonly number[]) => [...new Set(values)].join(" × ");
  return [
    `kernel ${sizes(kernel)}`,
    ...(strides.some((stride) => stride > 1) ? [`stride ${sizes(strides)}`] : []),
    ...(padding.some((count) => count > 0) ? [`padding ${sizes(padding)}`] : []),
    ...(dilations.some((distance) => distance > 1) ? [`dilation ${sizes(dilations)}`] : []),
    ...(groups > 1 ? [`groups ${groups}`] : []),
    ...(bias ? [] : ["no bias"]),
  ];
}
