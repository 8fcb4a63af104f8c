/**
 * Moves scalar factors to where they multiply the fewest numbers: s·(A·B) = (s·A)·B, s·(x ⊙ y) = (s·x) ⊙ y,
 * s·(x ± y) = s·x ± s·y.
 *
 * A learning rate times a weight gradient would be a pass over all parameters; times the backward pass's (N, O) factor it
 * is almost nothing, and the bare product can fuse with what is added to it. A factor moves only into what is used nowhere
 * else, or used with the same factor: s·Σ(x ⊙ y) beside s·y becomes Σ(x ⊙ (s·y)), and y alone is needed no more.
 */
import { multiply } from "./elementwise.ts";
import { matmulAttributes } from "./matmul.ts";
import { apply, type SymbolicTensor, scalarValue, topologicalOrder } from "./symbolic.ts";

/** How many operations a factor moves through; chains of more are left alone. */
const DEPTH = 8;

/** Equivalent outputs with such factors moved; what a first pass leaves with a single use, a second one reaches. */
export function sinkFactors(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  return sinkOnce(sinkOnce(outputs));
}

function sinkOnce(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const order = topologicalOrder(outputs);
  const uses = new Map<SymbolicTensor, number>();
  for (const node of [...order.flatMap(({ inputs }) => inputs), ...outputs]) {
    uses.set(node, (uses.get(node) ?? 0) + 1);
  }
  const rewritten = new Map<SymbolicTensor, SymbolicTensor>();
  const context = { uses, rewritten, scaled: scaledNodes(order), shared: new Map() };
  for (const node of order) {
    const inputs = node.inputs.map((operand) => rewritten.get(operand)!);
    const sunk = context.shared.get(node) ?? sink(node, context);
    const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
    rewritten.set(node, sunk ?? (changed ? apply(node.operation, inputs, node.attributes) : node));
  }
  return outputs.map((output) => rewritten.get(output)!);
}

interface Context {
  readonly uses: ReadonlyMap<SymbolicTensor, number>;
  readonly rewritten: ReadonlyMap<SymbolicTensor, SymbolicTensor>;
  /** s·x by x and s, for all such nodes. */
  readonly scaled: ReadonlyMap<SymbolicTensor, ReadonlyMap<SymbolicTensor, SymbolicTensor>>;
  /** Those of them that others were made to read before it was their turn. */
  readonly shared: Map<SymbolicTensor, SymbolicTensor>;
}

function scaledNodes(order: readonly SymbolicTensor[]): Context["scaled"] {
  const found = new Map<SymbolicTensor, Map<SymbolicTensor, SymbolicTensor>>();
  for (const node of order) {
    const product = scaledBy(node);
    if (!product) continue;
    const { x, factor } = product;
    found.set(x, (found.get(x) ?? new Map()).set(factor, node));
  }
  return found;
}

/** The node with its scalar factor elsewhere, where that is cheaper. */
function sink(node: SymbolicTensor, context: Context): SymbolicTensor | undefined {
  const product = scaledBy(node);
  if (!product) return undefined;
  const scaling = scale(product.x, context.rewritten.get(product.factor)!, context, DEPTH);
  return scaling.elements < node.size ? scaling.build() : undefined;
}

/** x and s of s·x, s a number that is no constant: those Gemm takes as they are. */
function scaledBy({
  operation,
  inputs,
  dtype,
}: SymbolicTensor): { x: SymbolicTensor; factor: SymbolicTensor } | undefined {
  if (operation.name !== "multiply" || (dtype !== "float32" && dtype !== "float64")) return undefined;
  const [left, right] = inputs;
  const [factor, x] = left.rank === 0 ? [left, right] : [right, left];
  return factor.rank === 0 && scalarValue(factor) === undefined ? { x, factor } : undefined;
}

interface Scaling {
  /** How many numbers the factor multiplies. */
  readonly elements: number;
  build(): SymbolicTensor;
}

/** The cheapest way to write s·node. */
function scale(node: SymbolicTensor, s: SymbolicTensor, context: Context, depth: number): Scaling {
  const { uses, rewritten } = context;
  const here = { elements: node.size, build: () => multiply(rewritten.get(node)!, s) };
  if (depth === 0) return here;
  if (uses.get(node) !== 1) return sharedScaling(node, s, context) ?? here;
  const scaled = scaledBy(node);
  if (scaled) return scale(scaled.x, multiply(rewritten.get(scaled.factor)!, s), context, depth - 1);
  /** s into some of the operands. */
  const into = (...chosen: readonly number[]): Scaling => {
    const scalings = new Map(chosen.map((k) => [k, scale(node.inputs[k], s, context, depth - 1)]));
    return {
      elements: [...scalings.values()].reduce((total, { elements }) => total + elements, 0),
      build() {
        const operands = node.inputs.map((x, k) => scalings.get(k)?.build() ?? rewritten.get(x)!);
        return apply(node.operation, operands, node.attributes);
      },
    };
  };
  const { name } = node.operation;
  const least = (...ways: readonly Scaling[]) =>
    ways.reduce((a, b) => (b.elements < a.elements ? b : a), here);
  if (matmulAttributes(node) || name === "multiply") return least(into(0), into(1));
  if (name === "divide" || name === "sum") return least(into(0));
  if (name === "add" || name === "subtract") return least(into(0, 1));
  return here;
}

/** s·node where it is computed anyway: better than for nothing, for without this use of the node the other factor may sink. */
function sharedScaling(
  node: SymbolicTensor,
  s: SymbolicTensor,
  { scaled, shared, rewritten }: Context,
): Scaling | undefined {
  const product = scaled.get(node)?.get(s);
  if (!product) return undefined;
  const build = () => {
    const known = rewritten.get(product) ?? shared.get(product) ?? multiply(rewritten.get(node)!, s);
    if (!rewritten.has(product)) shared.set(product, known);
    return known;
  };
  return { elements: -node.size, build };
}
