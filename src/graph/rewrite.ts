/** All rewrites before lowering, in their order. */
import { formDotProducts } from "./dot-products.ts";
import { fuse } from "./fuse.ts";
import { layOutImages } from "./image-layout.ts";
import { optimize } from "./optimize.ts";
import { orient } from "./orient.ts";
import { sinkFactors } from "./sink.ts";
import type { SymbolicTensor } from "./symbolic.ts";

/** The outputs in the form in which they are lowered. */
export function rewrite(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  return orient(fuse(formDotProducts(sinkFactors(expand(outputs)))));
}

/** The outputs by operations that are lowered one by one. */
export function expand(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const optimized = optimize(outputs);
  const laidOut = layOutImages(optimized);
  return laidOut.every((output, k) => output === optimized[k]) ? optimized : optimize(laidOut);
}
