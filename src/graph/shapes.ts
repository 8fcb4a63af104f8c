/** Shape arithmetic shared by the operations. */
import { formatShape, sameShape } from "../tensor.ts";

/**
 * The shape that two shapes broadcast to, by NumPy's rule.
 *
 * @throws when an axis differs and neither size is 1
 */
export function broadcastShapes(a: readonly number[], b: readonly number[]): readonly number[] {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw new Error(`shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
    }
    return left === 1 ? right : left;
  });
}

/** The axes over which a tensor of shape `from` was repeated to become `to`, counted in `to`. */
export function repeatedAxes(from: readonly number[], to: readonly number[]): number[] {
  const offset = to.length - from.length;
  return to.map((_, axis) => axis).filter((axis) => axis < offset || from[axis - offset] !== to[axis]);
}

/** Axes counted from 0, in order; negative ones count from the end. */
export function normalizeAxes(axes: readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, axis) => axis);
  const normalized = axes.map((axis) => normalizeAxis(axis, rank));
  return [...new Set(normalized)].sort((a, b) => a - b);
}

export function normalizeAxis(axis: number, rank: number): number {
  const normalized = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normalized < 0 || normalized >= rank) {
    throw new Error(`axis ${axis} is out of range for rank ${rank}`);
  }
  return normalized;
}

/** The shape after reducing `axes`, which are kept with size 1 or dropped. */
export function reducedShape(shape: readonly number[], axes: readonly number[], keepDims: boolean): number[] {
  return keepDims
    ? shape.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension))
    : shape.filter((_, axis) => !axes.includes(axis));
}
