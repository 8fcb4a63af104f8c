/** Graph rewriting before lowering: expansion, algebraic simplification, common-subexpression elimination. */
import { sameShape } from "../tensor.ts";
import { broadcastTo } from "./arrange.ts";
import { multiply } from "./elementwise.ts";
import { keyOf } from "./keys.ts";
import { squaredNorm, sum } from "./reduce.ts";
import { apply, inputName, type SymbolicTensor, scalarValue, topologicalOrder } from "./symbolic.ts";
import { winogradForm } from "./winograd.ts";

/**
 * Equivalent outputs in which every operation can be lowered, equal subexpressions are one node and trivial
 * arithmetic is gone. Dead code goes by itself: only what the outputs reach is visited. Convolutions for Winograd's algorithm stay as they are,
 * for how they are computed depends on what lies around them (`image-layout.ts`).
 */
export function optimize(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const rewritten = new Map<SymbolicTensor, SymbolicTensor>();
  const unique = new Map<string, SymbolicTensor>();
  const identifiers = new Map<SymbolicTensor, number>();

  const intern = (node: SymbolicTensor): SymbolicTensor => {
    const key = keyOf(node, identifiers);
    const known = unique.get(key);
    if (known) return known;
    unique.set(key, node);
    identifiers.set(node, identifiers.size);
    rewritten.set(node, node);
    return node;
  };

  const rewrite = (root: SymbolicTensor): SymbolicTensor => {
    for (const node of topologicalOrder([root], rewritten)) {
      const inputs = node.inputs.map((operand) => rewritten.get(operand)!);
      const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
      const current = changed ? apply(node.operation, inputs, node.attributes) : node;
      const simpler =
        simplify(current) ?? (winogradForm(current) ? undefined : current.operation.expand?.(current));
      rewritten.set(node, simpler ? rewrite(simpler) : intern(current));
    }
    return rewritten.get(root)!;
  };
  return outputs.map(rewrite);
}

/** A cheaper node of the same value, `undefined` when there is none. */
function simplify(node: SymbolicTensor): SymbolicTensor | undefined {
  const [a, b] = node.inputs;
  switch (node.operation.name) {
    case "add":
      return isNumber(b, 0) ? fitted(a, node) : isNumber(a, 0) ? fitted(b, node) : undefined;
    case "subtract":
      return isNumber(b, 0) ? fitted(a, node) : undefined;
    case "multiply":
      if (isNumber(b, 1)) return fitted(a, node);
      return isNumber(a, 1) ? fitted(b, node) : mergedFactors(node);
    case "sum":
      return node.rank === 0 ? totalOf(a) : undefined;
    case "divide":
      return isNumber(b, 1) ? fitted(a, node) : undefined;
    case "reshape":
    case "transpose":
    case "cast":
      return undoes(node, a) ? a.inputs[0] : undefined;
    default:
      return undefined;
  }
}

/** (x·c₁)·c₂ as x·(c₁c₂), for constant numbers. */
function mergedFactors(node: SymbolicTensor): SymbolicTensor | undefined {
  const outer = constantFactor(node);
  const inner = outer && constantFactor(outer.x);
  return inner && multiply(inner.x, outer.factor * inner.factor);
}

/** The sum of all elements of x, without what an earlier sum, a reshape or a constant factor adds to the work. */
function totalOf(x: SymbolicTensor): SymbolicTensor | undefined {
  if (x.operation.name === "sum" || x.operation.name === "reshape") return sum(x.inputs[0]);
  const scaled = constantFactor(x);
  if (scaled) return multiply(sum(scaled.x), scaled.factor);
  const isSquare = x.operation.name === "multiply" && x.inputs[0] === x.inputs[1];
  return isSquare && isFloat(x) ? squaredNorm(x.inputs[0]) : undefined;
}

/** x and c of x·c with a constant number c. */
function constantFactor(node: SymbolicTensor): { x: SymbolicTensor; factor: number } | undefined {
  if (node.operation.name !== "multiply" || !isFloat(node)) return undefined;
  const [a, b] = node.inputs;
  for (const [x, c] of [
    [a, b],
    [b, a],
  ]) {
    const factor = c.rank === 0 ? scalarValue(c) : undefined;
    if (factor !== undefined) return { x, factor };
  }
  return undefined;
}

function isFloat({ dtype }: SymbolicTensor): boolean {
  return dtype === "float32" || dtype === "float64";
}

/** Whether `outer(inner(x))` is x again. */
function undoes(outer: SymbolicTensor, inner: SymbolicTensor): boolean {
  if (inner.operation !== outer.operation) return false;
  const [x] = inner.inputs;
  if (outer.dtype !== x.dtype || !sameShape(outer.shape, x.shape)) return false;
  if (outer.operation.name === "reshape") return true;
  if (outer.operation.name === "cast") return x.dtype === "float32" && inner.dtype === "float64";
  const first = (inner.attributes as { permutation: readonly number[] }).permutation;
  const second = (outer.attributes as { permutation: readonly number[] }).permutation;
  return second.every((axis, k) => first[axis] === k);
}

function fitted(x: SymbolicTensor, node: SymbolicTensor): SymbolicTensor {
  return broadcastTo(x, node.shape);
}

/** Whether a node is a constant number, broadcast or not. */
function isNumber(node: SymbolicTensor | undefined, value: number): boolean {
  if (!node || inputName(node) !== undefined) return false;
  const core = node.operation.name === "broadcast" ? node.inputs[0] : node;
  return scalarValue(core) === value;
}
