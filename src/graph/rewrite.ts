/** All rewrites before lowering, in their order. */
import { formDotProducts } from "./dot-products.ts";
import { fuse } from "./fuse.ts";
import { optimize } from "./optimize.ts";
import { orient } from "./orient.ts";
import { sinkFactors } from "./sink.ts";
import type { SymbolicTensor } from "./symbolic.ts";

/** The outputs in the form in which they are lowered. */
export function rewrite(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  return orient(fuse(formDotProducts(sinkFactors(optimize(outputs)))));
}
