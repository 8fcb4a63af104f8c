/** MobileNetV2 [Sandler et al. 2018], with the strides that are usual for images of 32 × 32. */
import {
  batchNorm,
  conv2d,
  dense,
  globalAvgPool,
  type Layer,
  type Model,
  relu6,
  residual,
  sequential,
} from "../nn/index.ts";
import type { ClassesOption } from "./three-c1f.ts";

/** Expansion, filters, blocks and stride of the first block of each stage [Sandler et al. 2018, table 2]; see below for the strides. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 1],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

/**
 * Inverted residual blocks: a 1 × 1 convolution widens, a depthwise 3 × 3 one mixes positions, a linear 1 × 1 one narrows.
 *
 * Differs from the paper: the first convolution and the second stage keep the image's size, which is 32 × 32 here and not
 * 224 × 224. No dropout.
 */
export function mobileNetV2({ classes = 10 }: ClassesOption = {}): Model {
  const layers: Layer[] = [conv2d(32, { kernel: 3, padding: 1, bias: false }), batchNorm(), relu6()];
  let channels = 32;
  for (const [expansion, filters, blocks, firstStride] of STAGES) {
    for (let block = 0; block < blocks; block++) {
      layers.push(...invertedResidual(channels, expansion, filters, block === 0 ? firstStride : 1));
      channels = filters;
    }
  }
  return sequential([
    ...layers,
    ...[conv2d(1280, { kernel: 1, bias: false }), batchNorm(), relu6(), globalAvgPool(), dense(classes)],
  ]);
}

function invertedResidual(channels: number, expansion: number, filters: number, stride: number): Layer[] {
  const hidden = channels * expansion;
  const widening = expansion === 1 ? [] : [conv2d(hidden, { kernel: 1, bias: false }), batchNorm(), relu6()];
  const depthwise = conv2d(hidden, { kernel: 3, stride, padding: 1, groups: hidden, bias: false });
  const narrowing = conv2d(filters, { kernel: 1, bias: false });
  const block = [...widening, depthwise, batchNorm(), relu6(), narrowing, batchNorm()];
  return stride === 1 && channels === filters ? [residual(block)] : block;
}
