/** What tells nodes, and whole computations, apart. */
import { constantData, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/** Constants of more numbers are equal only when they are the same array. */
const COMPARED = 64;

/**
 * Two nodes with the same key compute the same value.
 *
 * @param identifiers of the nodes that they read
 */
export function keyOf(node: SymbolicTensor, identifiers: ReadonlyMap<SymbolicTensor, number>): string {
  const data = constantData(node);
  const attributes = data
    ? `${node.dtype} ${node.shape} ${data.length <= COMPARED ? [...data].map(exact) : identity(data)}`
    : JSON.stringify(node.attributes);
  return `${node.operation.name} ${attributes} ${node.inputs.map((operand) => identifiers.get(operand))}`;
}

const exact = (value: number) => (Object.is(value, -0) ? "-0" : String(value));

const identities = new WeakMap<object, number>();
let nextIdentity = 0;

function identity(data: object): string {
  let id = identities.get(data);
  if (id === undefined) identities.set(data, (id = nextIdentity++));
  return `#${id}`;
}

/**
 * Two computations with the same key have the same nodes in the same order under the same names.
 *
 * @returns undefined where a large constant makes the computation one of its kind
 */
export function computationKey(outputs: Readonly<Record<string, SymbolicTensor>>): string | undefined {
  const identifiers = new Map<SymbolicTensor, number>();
  const keys: string[] = [];
  for (const node of topologicalOrder(Object.values(outputs))) {
    if ((constantData(node)?.length ?? 0) > COMPARED) return undefined;
    keys.push(keyOf(node, identifiers));
    identifiers.set(node, identifiers.size);
  }
  for (const [name, node] of Object.entries(outputs)) keys.push(`${name} ${identifiers.get(node)}`);
  return keys.join("\n");
}
