/** 3C1F, the network of TENGraD's Fashion-MNIST experiment [Soori21 §5]. */
import { conv2d, dense, flatten, type Model, maxPool, relu, sequential } from "../nn/index.ts";

export interface ClassesOption {
  /** Number of outputs; default 10. */
  readonly classes?: number;
}

/**
 * Three 3 × 3 convolutions of 128 channels, a 3 × 3 maximum, a dense layer of 500 units and the classes: on images of
 * 28 × 28, 10368-500-10 behind the convolutions.
 */
export function threeC1F({ classes = 10 }: ClassesOption = {}): Model {
  const convolution = () => [conv2d(128, { kernel: 3, padding: 1 }), relu()];
  return sequential([
    ...[...convolution(), ...convolution(), ...convolution()],
    ...[maxPool(3), flatten(), dense(500), relu(), dense(classes)],
  ]);
}
