/** What one process of the benchmark is asked for, and what it says. */
import { denseNet, type Model, mobileNetV2, threeC1F, wideResNet } from "../../src/index.ts";

export const networks: Readonly<Record<string, () => Model>> = {
  "wide-resnet": () => wideResNet({ depth: 28, widen: 4 }),
  densenet: () => denseNet({ depth: 19, growth: 100 }),
  "mobilenet-v2": () => mobileNetV2(),
  "3c1f": () => threeC1F(),
};

export const defaultMethods = ["sgd", "tengrad", "kfac", "ekfac", "kbfgs"];

export interface ImageRequest {
  readonly network: string;
  readonly method: string;
  readonly batchSize: number;
  readonly steps: number;
  /** Steps between refreshes; the method's own default where left out. */
  readonly refreshEvery?: number;
  /** Bytes; the library's own default where left out. */
  readonly memoryLimit?: number;
}

export interface ImageResult {
  /** Mean over all steps but the first. */
  readonly secondsPerStep?: number;
  readonly firstSeconds?: number;
  /** Highest resident memory of the process. */
  readonly peakBytes?: number;
  /** What the library estimated before the first step. */
  readonly estimatedBytes?: number;
  /** `"ok"`, or why a step was rejected or refused. */
  readonly status: string;
}
