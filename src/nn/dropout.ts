/** Dropout [Srivastava et al. 2014]: in training every element is zero with probability `rate`, the others grow by 1/(1 − rate). */
import { requireOption } from "../errors.ts";
import { cast, less, multiply } from "../graph/index.ts";
import type { Layer } from "./layer.ts";

/** @throws UsageError when the rate is not in [0, 1) */
export function dropout(rate = 0.5): Layer {
  requireOption(rate >= 0 && rate < 1, "dropout rate", rate, "in [0, 1)");
  return {
    type: "dropout",
    describe: () => `dropout(${rate})`,
    build: (inputShape) => ({ outputShape: inputShape, parameters: {} }),
    apply(x, _, trace) {
      if (!trace.training || rate === 0) return x;
      const kept = cast(less(trace.noise(x.shape), 1 - rate), x.dtype);
      return multiply(x, multiply(kept, 1 / (1 - rate)));
    },
  };
}
