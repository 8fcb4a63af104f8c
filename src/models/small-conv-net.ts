/** A small convolutional network that trains in minutes on a processor. */
import { requireOption } from "../errors.ts";
import { conv2d, dense, flatten, type Model, relu, sequential } from "../nn/index.ts";

export interface SmallConvNetOptions {
  /** f: the convolutions have f, 2f and 4f channels; default 16. */
  readonly filters?: number;
  /** Number of outputs; default 10. */
  readonly classes?: number;
}

/**
 * Three convolutions, 5 × 5, 3 × 3 and 3 × 3, each halving the image, and a dense layer. On 28 × 28 gray pixels and with the default
 * options that is 28² → 16·14² → 32·7² → 64·4² → 10 and 33,802 parameters.
 *
 * Strides in place of pooling: a convolution computes only what the next layer sees, and no window's maximum is looked for.
 */
export function smallConvNet({ filters = 16, classes = 10 }: SmallConvNetOptions = {}): Model {
  requireOption(
    Number.isInteger(filters) && filters > 0,
    "smallConvNet filters",
    filters,
    "a positive integer",
  );
  return sequential([
    ...[conv2d(filters, { kernel: 5, stride: 2, padding: 2 }), relu()],
    ...[conv2d(2 * filters, { kernel: 3, stride: 2, padding: 1 }), relu()],
    ...[conv2d(4 * filters, { kernel: 3, stride: 2, padding: 1 }), relu()],
    ...[flatten(), dense(classes)],
  ]);
}
