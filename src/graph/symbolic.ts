/**
 * Symbolic tensors: immutable nodes of a traced computation.
 *
 * An {@link Operation} is defined once: its shape rule, its vector-Jacobian product in terms of other operations (so
 * that derivatives of any order exist) and its lowering to ONNX, or an expansion into simpler operations.
 */
import { allocate, type DType, formatShape, sizeOf, type TypedArray } from "../tensor.ts";
import type { OnnxEmitter } from "./onnx.ts";

export interface Signature {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export interface Operation<Attributes = unknown> {
  readonly name: string;
  /** The result's shape and dtype; throws when the inputs do not fit. */
  infer(inputs: readonly SymbolicTensor[], attributes: Attributes): Signature;
  /** Jᵀ·cotangent for every input, `undefined` where the derivative is zero; absent for operations without one. */
  vjp?(node: SymbolicTensor<Attributes>, cotangent: SymbolicTensor): readonly (SymbolicTensor | undefined)[];
  /** The same value by simpler operations, when this node has no ONNX operator of its own. */
  expand?(node: SymbolicTensor<Attributes>): SymbolicTensor | undefined;
  /** Emits ONNX nodes and returns the name of the result. */
  lower?(node: SymbolicTensor<Attributes>, inputs: readonly string[], emit: OnnxEmitter): string;
  /** Each element of the result depends on the operands' elements at the same place alone, after broadcasting. */
  readonly elementwise?: boolean;
  /** Floating-point operations of one evaluation; one per element of the result by default. */
  flops?(node: SymbolicTensor<Attributes>): number;
}

export class SymbolicTensor<Attributes = unknown> implements Signature {
  readonly operation: Operation<Attributes>;
  readonly inputs: readonly SymbolicTensor[];
  readonly attributes: Attributes;
  readonly shape: readonly number[];
  readonly dtype: DType;

  constructor(
    operation: Operation<Attributes>,
    inputs: readonly SymbolicTensor[],
    attributes: Attributes,
    signature: Signature,
  ) {
    this.operation = operation;
    this.inputs = inputs;
    this.attributes = attributes;
    this.shape = signature.shape;
    this.dtype = signature.dtype;
  }

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  toString(): string {
    return `${this.operation.name}${formatShape(this.shape)}`;
  }
}

/** Applies an operation to symbolic tensors. */
export function apply<Attributes>(
  operation: Operation<Attributes>,
  inputs: readonly SymbolicTensor[],
  attributes: Attributes,
): SymbolicTensor {
  const signature = operation.infer(inputs, attributes);
  return new SymbolicTensor(operation, inputs, attributes, signature) as SymbolicTensor;
}

/** A number where a tensor is expected stands for a scalar of the other operand's dtype. */
export type Operand = SymbolicTensor | number;

interface InputAttributes extends Signature {
  readonly name: string;
}

const inputOperation: Operation<InputAttributes> = {
  name: "input",
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
  lower: ({ attributes }) => attributes.name,
  flops: () => 0,
};

/** A value fed at every run, told apart by its name. */
export function input(name: string, shape: readonly number[], dtype: DType): SymbolicTensor {
  return apply(inputOperation, [], { name, shape, dtype });
}

/** The name of an input node, `undefined` for every other node. */
export function inputName(node: SymbolicTensor): string | undefined {
  return node.operation === (inputOperation as Operation)
    ? (node.attributes as InputAttributes).name
    : undefined;
}

interface ConstantAttributes extends Signature {
  readonly data: TypedArray;
}

const constantOperation: Operation<ConstantAttributes> = {
  name: "constant",
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
  lower: ({ attributes: { data, shape, dtype } }, _, emit) => emit.initializer(data, shape, dtype),
  flops: () => 0,
};

/** A constant tensor of the given numbers (row-major). */
export function constant(data: ArrayLike<number>, shape: readonly number[], dtype: DType): SymbolicTensor {
  if (data.length !== sizeOf(shape)) {
    throw new Error(`constant: ${data.length} numbers for shape ${formatShape(shape)}`);
  }
  const copy = allocate(dtype, data.length);
  copy.set(data);
  return apply(constantOperation, [], { data: copy, shape, dtype });
}

/** A constant of rank 0. */
export function scalar(value: number, dtype: DType): SymbolicTensor {
  return constant([value], [], dtype);
}

/** The numbers of a constant node, `undefined` for every other node. */
export function constantData(node: SymbolicTensor): TypedArray | undefined {
  return node.operation === (constantOperation as Operation)
    ? (node.attributes as ConstantAttributes).data
    : undefined;
}

/** The value of a constant with one element, `undefined` for every other node. */
export function scalarValue(node: SymbolicTensor): number | undefined {
  const data = constantData(node);
  return data?.length === 1 ? data[0] : undefined;
}

/**
 * All nodes that the outputs depend on, inputs before users.
 *
 * @param done nodes to leave out, with everything that only they depend on
 */
export function topologicalOrder(
  outputs: readonly SymbolicTensor[],
  done?: { has(node: SymbolicTensor): boolean },
): SymbolicTensor[] {
  const order: SymbolicTensor[] = [];
  const seen = new Set<SymbolicTensor>();
  /** The way from an output to the node at hand, and how many operands of each node on it were visited. */
  const path: SymbolicTensor[] = [];
  const visited: number[] = [];
  const enter = (node: SymbolicTensor) => {
    if (seen.has(node) || done?.has(node)) return;
    seen.add(node);
    path.push(node);
    visited.push(0);
  };
  for (const output of outputs) {
    enter(output);
    while (path.length > 0) {
      const last = path.length - 1;
      const { inputs } = path[last];
      if (visited[last] < inputs.length) {
        enter(inputs[visited[last]++]);
      } else {
        order.push(path.pop()!);
        visited.pop();
      }
    }
  }
  return order;
}
