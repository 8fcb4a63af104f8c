/** Wide residual networks [Zagoruyko & Komodakis 2016], in their form for images of 32 × 32. */
import { requireOption } from "../errors.ts";
import {
  batchNorm,
  conv2d,
  dense,
  dropout,
  globalAvgPool,
  type Layer,
  type Model,
  relu,
  residual,
  sequential,
} from "../nn/index.ts";

export interface WideResNetOptions {
  /** Number of convolutions, 6n + 4; default 28. */
  readonly depth?: number;
  /** k: the groups have 16k, 32k and 64k channels; default 4. */
  readonly widen?: number;
  /** Rate between a block's two convolutions; default 0. */
  readonly dropout?: number;
  /** Number of outputs; default 10. */
  readonly classes?: number;
}

/**
 * WRN-depth-widen: three groups of n pre-activated blocks of two 3 × 3 convolutions, the second and the third group halving the
 * image; where channels change, the shortcut is a 1 × 1 convolution behind the block's first normalization.
 *
 * @throws UsageError when the depth is not 6n + 4
 */
export function wideResNet(options: WideResNetOptions = {}): Model {
  const { depth = 28, widen = 4, dropout: rate = 0, classes = 10 } = options;
  const blocks = (depth - 4) / 6;
  requireOption(Number.isInteger(blocks) && blocks > 0, "wideResNet depth", depth, "6n + 4, as 10, 16, 28");
  requireOption(Number.isInteger(widen) && widen > 0, "wideResNet widen", widen, "a positive integer");
  const layers: Layer[] = [conv2d(16, { kernel: 3, padding: 1, bias: false })];
  let channels = 16;
  for (const group of [1, 2, 3]) {
    const filters = 16 * widen * 2 ** (group - 1);
    for (let block = 0; block < blocks; block++) {
      const stride = group > 1 && block === 0 ? 2 : 1;
      layers.push(...wideBlock(channels, filters, stride, rate));
      channels = filters;
    }
  }
  return sequential([...layers, batchNorm(), relu(), globalAvgPool(), dense(classes)]);
}

function wideBlock(channels: number, filters: number, stride: number, rate: number): Layer[] {
  const first = conv2d(filters, { kernel: 3, stride, padding: 1, bias: false });
  const second = conv2d(filters, { kernel: 3, padding: 1, bias: false });
  const rest = [first, batchNorm(), relu(), ...(rate > 0 ? [dropout(rate)] : []), second];
  if (channels === filters && stride === 1) return [residual([batchNorm(), relu(), ...rest])];
  return [batchNorm(), relu(), residual(rest, [conv2d(filters, { kernel: 1, stride, bias: false })])];
}
