/**
 * Chooses between (N, C, H, W) and (H, W, N, C) for what lies between convolutions.
 *
 * Convolutions by Winograd's algorithm (`winograd.ts`) read and write images as (H, W, N, C); everything else has them as they are traced. Elementwise
 * functions, sums, concatenations and slices of channels do not mind. So images that such operations join are turned over together, where less has to be
 * moved that way than by turning over what each convolution reads and writes.
 */
import { sameShape } from "../tensor.ts";
import { broadcastTo, concatenate, reshape, slice, transpose } from "./arrange.ts";
import { matrixTranspose } from "./matmul.ts";
import { sum, summedAxes } from "./reduce.ts";
import { apply, type Operation, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";
import { type WinogradForm, winogradForm } from "./winograd.ts";

/** Axis k of (H, W, N, C) is this one of (N, C, H, W). */
const TURNED = [2, 3, 0, 1] as const;

/** Numbers in transformed images that a program keeps from a convolution to the derivative by its filters, most: 256 MiB. With more they are made twice. */
const MOST_SHARED = 2 ** 26;

/** Images joined by operations that do not mind: turned over together or not at all. */
interface Group {
  readonly nodes: SymbolicTensor[];
  /** Images of no group that are joined with them, each turned over where the group is. */
  readonly foreign: Set<SymbolicTensor>;
  /** Members that something else reads, each turned back where the group is turned over. */
  readonly readOutside: Set<SymbolicTensor>;
  /** Members that a convolution by Winograd's algorithm reads or yields, each turned over, or back, where the group is not. */
  readonly convolved: Set<SymbolicTensor>;
}

/**
 * Equivalent outputs in which convolutions that Winograd's algorithm suits are computed by it.
 *
 * @param mostShared numbers that they may keep between them
 */
export function layOutImages(outputs: readonly SymbolicTensor[], mostShared = MOST_SHARED): SymbolicTensor[] {
  const order = topologicalOrder(outputs);
  const forms = new Map<SymbolicTensor, WinogradForm>();
  for (const node of order) {
    const form = winogradForm(node);
    if (form) forms.set(node, form);
  }
  if (forms.size === 0) return [...outputs];
  const turned = new Set<SymbolicTensor>();
  for (const group of findGroups(order, outputs, forms)) {
    const { nodes, foreign, readOutside, convolved } = group;
    if (elements(foreign) + elements(readOutside) < elements(convolved))
      for (const node of nodes) turned.add(node);
  }
  const shared = [...forms.values()].reduce((total, form) => total + form.shared, 0);
  return rewrite(order, outputs, forms, turned, shared > mostShared);
}

const elements = (nodes: Iterable<SymbolicTensor>) => [...nodes].reduce((total, { size }) => total + size, 0);

type Forms = ReadonlyMap<SymbolicTensor, WinogradForm>;

function findGroups(
  order: readonly SymbolicTensor[],
  outputs: readonly SymbolicTensor[],
  forms: Forms,
): Iterable<Group> {
  const groups = new Map<SymbolicTensor, Group>();
  const join = (a: Group, b: Group): Group => {
    if (a === b) return a;
    for (const node of b.nodes) groups.set(node, a);
    a.nodes.push(...b.nodes);
    for (const part of ["foreign", "readOutside", "convolved"] as const) {
      for (const node of b[part]) a[part].add(node);
    }
    return a;
  };
  for (const node of order) {
    const form = forms.get(node);
    let group: Group | undefined;
    if (form ? form.yieldsImages : doesNotMind(node)) {
      group = {
        nodes: [node],
        foreign: new Set(),
        readOutside: new Set(),
        convolved: new Set(form ? [node] : []),
      };
      groups.set(node, group);
    }
    node.inputs.forEach((operand, k) => {
      const other = groups.get(operand);
      if (form && k < form.images) other?.convolved.add(operand);
      else if (group && !form && liesAs(operand, node)) {
        if (other) group = join(other, group);
        else group.foreign.add(operand);
      } else if (!isMovableSum(node)) other?.readOutside.add(operand);
    });
  }
  for (const output of outputs) groups.get(output)?.readOutside.add(output);
  return new Set(groups.values());
}

/** Whether an operation does the same to images in either form. */
function doesNotMind(node: SymbolicTensor): boolean {
  if (node.rank !== 4) return false;
  return node.operation.elementwise === true || node.operation.name === "broadcast" || alongChannels(node);
}

/** A concatenation or a slice of channels. */
function alongChannels({ operation, inputs, attributes, shape }: SymbolicTensor): boolean {
  if (operation.name === "concatenate") return (attributes as { axis: number }).axis === 1;
  if (operation.name !== "slice") return false;
  const others = [0, 2, 3].every((axis) => inputs[0].shape[axis] === shape[axis]);
  return others && (attributes as { steps: readonly number[] }).steps[1] === 1;
}

/** Whether an operand lies as the node does, and is not broadcast. */
function liesAs(operand: SymbolicTensor, node: SymbolicTensor): boolean {
  return alongChannels(node) || sameShape(operand.shape, node.shape);
}

/** A sum of images whose remaining axes are in the same order in both forms, or of all their squares. */
function isMovableSum(node: SymbolicTensor): boolean {
  if (node.operation.name === "squaredNorm") return true;
  const axes = summedAxes(node);
  if (axes === undefined || node.inputs[0].rank !== 4) return false;
  const kept = TURNED.filter((axis) => !axes.includes(axis));
  return kept.every((axis, k) => k === 0 || axis > kept[k - 1]);
}

function rewrite(
  order: readonly SymbolicTensor[],
  outputs: readonly SymbolicTensor[],
  forms: Forms,
  turned: ReadonlySet<SymbolicTensor>,
  apart: boolean,
): SymbolicTensor[] {
  /** What has been computed so far, as it is traced and as (H, W, N, C): at least one of the two. */
  const [plain, positionsFirst] = [
    new Map<SymbolicTensor, SymbolicTensor>(),
    new Map<SymbolicTensor, SymbolicTensor>(),
  ];
  const asTraced = (node: SymbolicTensor): SymbolicTensor => {
    if (!plain.has(node)) plain.set(node, turnBack(positionsFirst.get(node)!));
    return plain.get(node)!;
  };
  const asTurned = (node: SymbolicTensor): SymbolicTensor => {
    if (!positionsFirst.has(node)) positionsFirst.set(node, turnOver(plain.get(node)!));
    return positionsFirst.get(node)!;
  };
  for (const node of order) {
    const form = forms.get(node);
    if (form) {
      const operands = node.inputs.map((x, k) => (k < form.images ? asTurned(x) : asTraced(x)));
      const value = form.build(operands, apart);
      (form.yieldsImages ? positionsFirst : plain).set(node, value);
    } else if (turned.has(node)) {
      positionsFirst.set(
        node,
        applyTurned(
          node,
          node.inputs.map((x) => (liesAs(x, node) ? asTurned(x) : facing(asTraced(x)))),
        ),
      );
    } else if (isMovableSum(node) && !plain.has(node.inputs[0])) {
      plain.set(node, sumTurned(node, asTurned(node.inputs[0])));
    } else {
      const inputs = node.inputs.map(asTraced);
      const changed = inputs.some((operand, k) => operand !== node.inputs[k]);
      plain.set(node, changed ? apply(node.operation, inputs, node.attributes) : node);
    }
  }
  return outputs.map(asTraced);
}

/** The operation of a member of a group on images (H, W, N, C). */
function applyTurned(node: SymbolicTensor, operands: readonly SymbolicTensor[]): SymbolicTensor {
  const { operation, attributes, shape } = node;
  const moved = (values: readonly number[]) => TURNED.map((axis) => values[axis]);
  if (operation.name === "concatenate") return concatenate(operands, 3);
  if (operation.name === "broadcast") return broadcastTo(operands[0], moved(shape));
  if (operation.name === "slice") {
    const { starts, ends } = attributes as { starts: readonly number[]; ends: readonly number[] };
    return slice(operands[0], moved(starts), moved(ends));
  }
  return apply(operation, operands, attributes);
}

function sumTurned(node: SymbolicTensor, images: SymbolicTensor): SymbolicTensor {
  const axes = summedAxes(node);
  if (axes === undefined) return apply(node.operation, [images], node.attributes);
  const moved = axes.map((axis) => TURNED.indexOf(axis as 0 | 1 | 2 | 3));
  return reshape(sum(images, moved), node.shape);
}

/** What is broadcast to images (N, C, H, W), as it is broadcast to (H, W, N, C). */
function facing(operand: SymbolicTensor): SymbolicTensor {
  if (operand.rank === 0) return operand;
  const shape = [...new Array(4 - operand.rank).fill(1), ...operand.shape];
  return transpose(reshape(operand, shape), TURNED);
}

/** (N, C, H, W) as (H, W, N, C). */
function turnOver(images: SymbolicTensor): SymbolicTensor {
  const [samples, channels, height, width] = images.shape;
  const matrix = reshape(images, [samples * channels, height * width]);
  return reshape(turnedMatrix(matrix), [height, width, samples, channels]);
}

/** The way back. */
function turnBack(images: SymbolicTensor): SymbolicTensor {
  const [height, width, samples, channels] = images.shape;
  const matrix = reshape(images, [height * width, samples * channels]);
  return reshape(turnedMatrix(matrix), [samples, channels, height, width]);
}

const turnedMatrix = (matrix: SymbolicTensor) => apply(flattenOperation, [matrixTranspose(matrix)], {});

/**
 * A matrix as it is, by an operator that ONNX Runtime does not look through: it would make the transposition between two reshapes one of four axes,
 * which takes twenty times as long.
 */
const flattenOperation: Operation<Record<string, never>> = {
  name: "flatten",
  infer: ([matrix]) => matrix,
  lower: (_, [matrix], emit) => emit.node("Flatten", [matrix], { axis: { int: 1 } }),
  flops: () => 0,
};
