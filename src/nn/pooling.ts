/** Pooling layers on images (N, C, H, W), with PyTorch's defaults. */
import * as graph from "../graph/index.ts";
import { imageShape, pair, type Size, windowCounts } from "./convolution.ts";
import type { Layer } from "./layer.ts";

export interface PoolingOptions {
  /** Default: the window's size, so that windows tile the image. */
  readonly stride?: Size;
  /** Rows and columns added on every side: −∞ under a maximum, 0 under a mean; default 0. */
  readonly padding?: Size;
}

type Pool = (x: graph.SymbolicTensor, pooling: graph.Pooling) => graph.SymbolicTensor;

function pooling(type: string, pool: Pool, size: Size, options: PoolingOptions): Layer {
  const kernel = pair(`${type} size`, size, 1);
  const strides = pair(`${type} stride`, options.stride ?? size, 1);
  const [rows, columns] = pair(`${type} padding`, options.padding ?? 0, 0);
  const window: graph.Pooling = { kernel, strides, padding: [rows, columns, rows, columns] };
  return {
    type,
    describe: () => `${type}(${[...new Set(kernel)].join(" × ")})`,
    build(inputShape) {
      const [channels, ...image] = imageShape(type, inputShape);
      const counts = windowCounts(type, image, kernel, { ...window, dilations: [1, 1] });
      return { outputShape: [channels, ...counts], parameters: {} };
    },
    apply: (x) => pool(x, window),
  };
}

/** Largest element of each window; windows of `size` tile the image by default, what is left over is dropped. */
export function maxPool(size: Size = 2, options: PoolingOptions = {}): Layer {
  return pooling("maxPool", graph.maxPool, size, options);
}

/** Mean of each window, padding included. */
export function avgPool(size: Size = 2, options: PoolingOptions = {}): Layer {
  return pooling("avgPool", graph.averagePool, size, options);
}

/** Mean of each channel: (N, C, H, W) → (N, C). */
export function globalAvgPool(): Layer {
  return {
    type: "globalAvgPool",
    describe: () => "globalAvgPool",
    build: (inputShape) => ({ outputShape: [imageShape("globalAvgPool", inputShape)[0]], parameters: {} }),
    apply: (x) => graph.mean(x, [2, 3]),
  };
}
