/**
 * Chooses between x and xᵀ for what lies between matrix products.
 *
 * A product reads its operands in one order of memory: BLAS-like kernels, ONNX Runtime's too, copy the right operand into
 * panels once and transpose a transposed left operand for each panel of 128 columns. In a dense layer x·Wᵀ copies the whole
 * weight matrix; W·xᵀ, whose result is the transpose, copies only the batch. Activations may as well be (F, N) instead of (N, F)
 * all the way from one product to the next, for elementwise functions and concatenations do not mind. Where it saves copying,
 * this pass turns them over, and networks too small to gain are left alone. A transposition that somebody asked for is then
 * none. What joins such matrices from outside, as kept
 * statistics do, is transposed if the rest gains more than that costs.
 */
import { sameShape } from "../tensor.ts";
import { concatenate, reshape } from "./arrange.ts";
import { type GemmAttributes, gemm, gemmAttributes } from "./fuse.ts";
import { matrixTranspose } from "./matmul.ts";
import { sum } from "./reduce.ts";
import { apply, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** Columns that a product's kernel handles per pass over its left operand. */
const PANEL = 128;
/** What transposing an element costs beside copying one into a panel. */
const TRANSPOSITION = 4;
/** Copied elements that turning a group over must save: about 20 µs. */
const WORTHWHILE = 1 << 17;

/** Matrices joined by elementwise operations and concatenations: turned over together or not at all. */
interface Group {
  readonly nodes: SymbolicTensor[];
  /** Matrices of no group that are joined with them, each transposed where the group is turned over. */
  readonly foreign: Set<SymbolicTensor>;
  /** The products that yield one of the group's matrices or take one as an operand. */
  readonly products: Set<SymbolicTensor>;
  /** Transpositions of the group's matrices, which cost nothing where it is turned over. */
  readonly transpositions: SymbolicTensor[];
  /** Whether everything around the group can do with the transposes. */
  free: boolean;
  turned: boolean;
}

/**
 * Equivalent outputs whose products copy less.
 *
 * @param worthwhile a group is turned over when that saves more copied elements than this
 */
export function orient(outputs: readonly SymbolicTensor[], worthwhile = WORTHWHILE): SymbolicTensor[] {
  const order = topologicalOrder(outputs);
  const groups = findGroups(order, outputs);
  for (const group of new Set(groups.values())) {
    if (!group.free || group.products.size === 0) continue;
    const before = copied(group, groups);
    group.turned = true;
    group.turned = before - copied(group, groups) > worthwhile;
  }
  return [...groups.values()].some(({ turned }) => turned) ? rewrite(order, outputs, groups) : [...outputs];
}

type Groups = ReadonlyMap<SymbolicTensor, Group>;

function findGroups(order: readonly SymbolicTensor[], outputs: readonly SymbolicTensor[]): Groups {
  const groups = new Map<SymbolicTensor, Group>();
  const create = (node: SymbolicTensor): Group => {
    const group: Group = {
      ...{ nodes: [node], foreign: new Set(), products: new Set(), transpositions: [] },
      ...{ free: true, turned: false },
    };
    groups.set(node, group);
    return group;
  };
  const join = (a: Group, b: Group): Group => {
    if (a === b) return a;
    for (const node of b.nodes) groups.set(node, a);
    a.nodes.push(...b.nodes);
    for (const product of b.products) a.products.add(product);
    for (const operand of b.foreign) a.foreign.add(operand);
    a.transpositions.push(...b.transpositions);
    a.free &&= b.free;
    return a;
  };
  const block = (node: SymbolicTensor): void => {
    const group = groups.get(node);
    if (group) group.free = false;
  };

  for (const node of order) {
    const product = gemmAttributes(node);
    let group = product || joinsMatrices(node) ? create(node) : undefined;
    if (group && product) group.products.add(node);
    node.inputs.forEach((operand, k) => {
      const multiplied = product && k < 2;
      if (multiplied) groups.get(operand)?.products.add(node);
      else if (group && isMember(operand, node)) {
        const other = groups.get(operand);
        if (other) group = join(other, group);
        else group.foreign.add(operand);
      } else if (isTransposition(node)) groups.get(operand)?.transpositions.push(node);
      else if (!isTotal(node)) block(operand);
    });
  }
  for (const output of outputs) block(output);
  return groups;
}

/** Whether a node is an elementwise operation on matrices or a concatenation of some. */
function joinsMatrices(node: SymbolicTensor): boolean {
  return node.rank === 2 && (node.operation.elementwise === true || concatenationAxis(node) !== undefined);
}

/** The axis of a concatenation; nothing for another operation. */
function concatenationAxis({ operation, attributes }: SymbolicTensor): number | undefined {
  return operation.name === "concatenate" ? (attributes as { axis: number }).axis : undefined;
}

/** Whether an operand lies as the node does: neither multiplied nor broadcast. */
function isMember(operand: SymbolicTensor, node: SymbolicTensor): boolean {
  return concatenationAxis(node) !== undefined || sameShape(operand.shape, node.shape);
}

/** A sum over one axis of a matrix, which is as well taken over the other axis of its transpose, or a sum of all its squares. */
function isTotal({ operation, inputs, rank }: SymbolicTensor): boolean {
  if (inputs[0]?.rank !== 2) return false;
  return (operation.name === "sum" && rank === 1) || operation.name === "squaredNorm";
}

function isTransposition({ operation, rank }: SymbolicTensor): boolean {
  return operation.name === "transpose" && rank === 2;
}

/** Elements that the products around a group copy, as the groups now lie. */
function copied({ products, foreign, transpositions, turned }: Group, groups: Groups): number {
  let total = 0;
  for (const product of products) {
    const { operands, attributes } = turnedProduct(product, groups);
    const [a, b] = operands;
    const columns = product.shape[groups.get(product)?.turned ? 0 : 1];
    const passes = attributes.transposeA ? Math.ceil(columns / PANEL) : 0;
    total += b.size + a.size * passes;
  }
  for (const { size } of turned ? foreign : transpositions) total += TRANSPOSITION * size;
  return total;
}

interface TurnedProduct {
  /** The product's first two operands, as the graph before this pass has them. */
  readonly operands: readonly [SymbolicTensor, SymbolicTensor];
  readonly attributes: GemmAttributes;
}

/** How a product is written as the groups now lie; (A·B)ᵀ = Bᵀ·Aᵀ. */
function turnedProduct(product: SymbolicTensor, groups: Groups): TurnedProduct {
  const attributes = gemmAttributes(product)!;
  const [a, b] = product.inputs;
  const isTurned = (node: SymbolicTensor) => groups.get(node)?.turned === true;
  const transposeA = attributes.transposeA !== isTurned(a);
  const transposeB = attributes.transposeB !== isTurned(b);
  return isTurned(product)
    ? { operands: [b, a], attributes: { ...attributes, transposeA: !transposeB, transposeB: !transposeA } }
    : { operands: [a, b], attributes: { ...attributes, transposeA, transposeB } };
}

function rewrite(
  order: readonly SymbolicTensor[],
  outputs: readonly SymbolicTensor[],
  groups: Groups,
): SymbolicTensor[] {
  const rewritten = new Map<SymbolicTensor, SymbolicTensor>();
  const isTurned = (node: SymbolicTensor) => groups.get(node)?.turned === true;
  /** An operand of a turned operation: a member of the group, a matrix from outside, or something that is broadcast. */
  const facing = (operand: SymbolicTensor): SymbolicTensor => {
    const current = rewritten.get(operand)!;
    if (isTurned(operand) || operand.rank === 0) return current;
    const [rows, columns] = operand.rank === 1 ? [1, operand.shape[0]] : operand.shape;
    return rows === 1 || columns === 1 ? reshape(current, [columns, rows]) : matrixTranspose(current);
  };

  for (const node of order) {
    if (gemmAttributes(node)) {
      const { operands, attributes } = turnedProduct(node, groups);
      const addend = node.inputs.slice(2).map((c) => (isTurned(node) ? facing(c) : rewritten.get(c)!));
      rewritten.set(node, gemm([...operands.map((x) => rewritten.get(x)!), ...addend], attributes));
    } else if (isTurned(node) && concatenationAxis(node) !== undefined) {
      rewritten.set(node, concatenate(node.inputs.map(facing), 1 - concatenationAxis(node)!));
    } else if (isTurned(node)) {
      rewritten.set(node, apply(node.operation, node.inputs.map(facing), node.attributes));
    } else if (isTransposition(node) && isTurned(node.inputs[0])) {
      rewritten.set(node, rewritten.get(node.inputs[0])!);
    } else if (node.rank === 1 && isTotal(node) && isTurned(node.inputs[0])) {
      const { axes } = node.attributes as { axes: readonly number[] };
      rewritten.set(node, sum(rewritten.get(node.inputs[0])!, [1 - axes[0]]));
    } else {
      const inputs = node.inputs.map((operand) => rewritten.get(operand)!);
      const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
      rewritten.set(node, changed ? apply(node.operation, inputs, node.attributes) : node);
    }
  }
  return outputs.map((output) => rewritten.get(output)!);
}
