/** Densely connected networks [Huang et al. 2017], in their basic form for images of 32 × 32. */
import { requireOption } from "../errors.ts";
import {
  avgPool,
  batchNorm,
  concat,
  conv2d,
  dense,
  globalAvgPool,
  type Layer,
  type Model,
  relu,
  sequential,
} from "../nn/index.ts";

export interface DenseNetOptions {
  /** 3n + 4 for n layers in each of the three blocks; default 19. */
  readonly depth?: number;
  /** Channels that each layer adds; default 100. */
  readonly growth?: number;
  /** Part of the channels that a transition keeps; default 0.5. */
  readonly compression?: number;
  /** Number of outputs; default 10. */
  readonly classes?: number;
}

/**
 * Three dense blocks, between them a 1 × 1 convolution and a 2 × 2 mean; the first convolution has 2·growth channels.
 *
 * @throws UsageError when the depth is not 3n + 4
 */
export function denseNet(options: DenseNetOptions = {}): Model {
  const { depth = 19, growth = 100, compression = 0.5, classes = 10 } = options;
  const count = (depth - 4) / 3;
  requireOption(Number.isInteger(count) && count > 0, "denseNet depth", depth, "3n + 4, as 19, 40");
  requireOption(Number.isInteger(growth) && growth > 0, "denseNet growth", growth, "a positive integer");
  requireOption(compression > 0 && compression <= 1, "denseNet compression", compression, "in (0, 1]");
  let channels = 2 * growth;
  const layers: Layer[] = [conv2d(channels, { kernel: 3, padding: 1, bias: false })];
  for (const block of [1, 2, 3]) {
    for (let k = 0; k < count; k++) {
      layers.push(
        concat([[], [batchNorm(), relu(), conv2d(growth, { kernel: 3, padding: 1, bias: false })]]),
      );
      channels += growth;
    }
    if (block === 3) break;
    channels = Math.floor(channels * compression);
    layers.push(batchNorm(), relu(), conv2d(channels, { kernel: 1, bias: false }), avgPool(2));
  }
  return sequential([...layers, batchNorm(), relu(), globalAvgPool(), dense(classes)]);
}
