/**
 * The network of the theory: fully connected, in the NTK parameterization [Karakida20 eq. 1],
 *
 *   u_l = (σ_w/√M_{l−1}) W_l h_{l−1} + σ_b b_l,   h_l = φ(u_l),   f = u_L,   W, b ~ N(0, 1),
 *
 * and networks of finite width of the same kind, with C outputs.
 *
 * | symbol    | field or argument | value                                             |
 * | --------- | ----------------- | ------------------------------------------------- |
 * | L         | `depth`           | layers with parameters, the last one included; ≥ 1 |
 * | φ         | `activation`      | `"relu"` or `"erf"`, after every layer but the last |
 * | σ_w, σ_b  | `sigmaW`, `sigmaB` | > 0; ≥ 0                                         |
 * | M         | `width`           | units of every hidden layer                       |
 *
 * Differs from the paper: σ_b = 0 (the default) means that there are no biases at all, which is the same function and the same
 * kernel. Inputs are taken as they are: the first layer divides by √M_0 as the others do, so that A_0(x, x') = x·x'/M_0 whatever the length
 * of x; rows with ‖x‖² = M_0 have A_0(x, x) = 1.
 */
import { requireOption } from "../errors.ts";
import * as graph from "../graph/index.ts";
import { dense, type Layer, type Model, relu, sequential } from "../nn/index.ts";
import { type ActivationName, dualActivation } from "./activations.ts";

export interface WideNetwork {
  readonly depth: number;
  readonly activation: ActivationName;
  readonly sigmaW: number;
  /** Default 0: no biases. */
  readonly sigmaB?: number;
}

/** @throws UsageError when a number is out of range */
export function checkNetwork({ depth, activation, sigmaW, sigmaB = 0 }: WideNetwork): void {
  requireOption(Number.isInteger(depth) && depth >= 1, "depth", depth, "a whole number >= 1");
  dualActivation(activation);
  requireOption(sigmaW > 0 && sigmaW < Infinity, "sigmaW", sigmaW, "> 0");
  requireOption(sigmaB >= 0 && sigmaB < Infinity, "sigmaB", sigmaB, ">= 0");
}

/** erf x, for networks that the theory of erf is compared with. */
const erfLayer: Layer = {
  type: "erf",
  describe: () => "erf",
  build: (inputShape) => ({ outputShape: inputShape, parameters: {} }),
  apply: (x) => graph.erf(x),
};

/** A finite network of this kind: `width` units in every hidden layer, `outputs` (default 1) in the last. */
export function finiteNetwork(network: WideNetwork, width: number, outputs = 1): Model {
  checkNetwork(network);
  const { depth, activation, sigmaW, sigmaB = 0 } = network;
  const options = { bias: sigmaB > 0, ntk: { sigmaW, sigmaB } };
  const hidden = Array.from({ length: depth - 1 }, () => [
    dense(width, options),
    activation === "relu" ? relu() : erfLayer,
  ]);
  return sequential([...hidden.flat(), dense(outputs, options)]);
}
