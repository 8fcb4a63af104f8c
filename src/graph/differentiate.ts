/**
 * Differentiation of symbolic computations.
 *
 * Only reverse mode has rules. A Jacobian-vector product is the transpose of the transpose: u ↦ Jᵀu is linear in u, so
 * its own vector-Jacobian product is v ↦ Jv [J. Townsend, A new trick for calculating Jacobian vector products, 2017];
 * what only u needs is dead code afterwards.
 */
import { formatShape, sameShape } from "../tensor.ts";
import { add, onesLike, zerosLike } from "./elementwise.ts";
import { input, type SymbolicTensor, topologicalOrder } from "./symbolic.ts";

/**
 * Vector-Jacobian product Σ_k (∂outputs_k/∂inputs)ᵀ · cotangents_k.
 *
 * @param inputs any nodes that the outputs are computed from, intermediate ones included
 * @returns one tensor for every input, of its shape; zeros where no output depends on it
 */
export function vjp(
  outputs: readonly SymbolicTensor[],
  cotangents: readonly SymbolicTensor[],
  inputs: readonly SymbolicTensor[],
): SymbolicTensor[] {
  if (cotangents.length !== outputs.length) {
    throw new Error(`vjp: ${cotangents.length} cotangents for ${outputs.length} outputs`);
  }
  const order = topologicalOrder(outputs);
  const active = new Set<SymbolicTensor>(inputs);
  for (const node of order) {
    if (node.inputs.some((operand) => active.has(operand))) active.add(node);
  }

  const gathered = new Map<SymbolicTensor, SymbolicTensor>();
  const gather = (node: SymbolicTensor, cotangent: SymbolicTensor) => {
    const earlier = gathered.get(node);
    gathered.set(node, earlier ? add(earlier, cotangent) : cotangent);
  };
  outputs.forEach((output, k) => {
    if (!sameShape(output.shape, cotangents[k].shape)) {
      throw new Error(`vjp: cotangent ${formatShape(cotangents[k].shape)} for ${formatShape(output.shape)}`);
    }
    if (active.has(output)) gather(output, cotangents[k]);
  });

  for (const node of order.reverse()) {
    const cotangent = gathered.get(node);
    if (!cotangent || !node.inputs.some((operand) => active.has(operand))) continue;
    if (!node.operation.vjp) continue;
    const contributions = node.operation.vjp(node, cotangent);
    node.inputs.forEach((operand, k) => {
      const contribution = contributions[k];
      if (contribution && active.has(operand)) gather(operand, contribution);
    });
  }
  return inputs.map((node) => gathered.get(node) ?? zerosLike(node));
}

/** Gradient of a scalar (or of the sum of a tensor's elements) with respect to `inputs`. */
export function gradient(value: SymbolicTensor, inputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  return vjp([value], [onesLike(value)], inputs);
}

/**
 * Jacobian-vector product Σ_k (∂outputs/∂inputs_k) · tangents_k, by double transposition.
 *
 * @returns one tensor for every output, of its shape
 */
export function jvp(
  outputs: readonly SymbolicTensor[],
  inputs: readonly SymbolicTensor[],
  tangents: readonly SymbolicTensor[],
): SymbolicTensor[] {
  const probes = outputs.map((output, k) => input(`jvp probe ${k}`, output.shape, output.dtype));
  return vjp(vjp(outputs, probes, inputs), tangents, probes);
}
