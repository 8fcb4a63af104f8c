/** Inverses that methods imply for one layer, column by column, and heat maps of them. */
import type { DirectionMap } from "../optimizers/natural/direction-map.ts";
import type { ApproximateInverse, HeatMap } from "./inspection.ts";
import { type LayerRows, layerVector } from "./score-rows.ts";

/** Layers of up to so many parameters are inverted whole. */
const LARGEST_WHOLE = 640;
/** Of larger ones, so many parameters, the first ones: each costs a product with every method's inverse. */
const LEADING = 128;
/** Squares along the side of a heat map. */
const MOST_SQUARES = 176;
/** Relative difference up to which two inverses are the same matrix by two routes. */
const SAME = 1e-6;

/** How many of a layer's parameters, from the first on, its inverses are computed for. */
export function windowOf({ parameters }: LayerRows): number {
  return parameters <= LARGEST_WHOLE ? parameters : LEADING;
}

/** Parameters along the side of one square of the heat maps. */
export function averagedOf(window: number): number {
  return Math.ceil(window / MOST_SQUARES);
}

/** The leading rows and columns of the inverse that a method implies for a layer, (count, count) row-major. */
export async function impliedInverse(
  map: DirectionMap,
  layer: LayerRows,
  count: number,
  onColumn: () => void = () => {},
): Promise<Float64Array> {
  const inverse = new Float64Array(count * count);
  for (let column = 0; column < count; column++) {
    const place = [Math.floor(column / layer.width), column % layer.width] as const;
    const direction = layerVector(layer, await map.inverseColumn(layer.name, ...place));
    for (let row = 0; row < count; row++) inverse[row * count + column] = direction[row];
    onColumn();
  }
  return inverse;
}

/** ‖X − E‖ / ‖E‖ in the Frobenius norm. */
export function relativeError(approximate: Float64Array, exact: Float64Array): number {
  let difference = 0;
  let size = 0;
  for (let k = 0; k < exact.length; k++) {
    difference += (approximate[k] - exact[k]) ** 2;
    size += exact[k] ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Means of absolute values over squares of `averaged` by `averaged` elements; those at the end may be smaller. */
export function heatMap(matrix: Float64Array, order: number, averaged: number): HeatMap {
  const size = Math.ceil(order / averaged);
  const values = new Float64Array(size * size);
  const counts = new Float64Array(size * size);
  for (let row = 0; row < order; row++) {
    for (let column = 0; column < order; column++) {
      const square = Math.floor(row / averaged) * size + Math.floor(column / averaged);
      values[square] += Math.abs(matrix[row * order + column]);
      counts[square]++;
    }
  }
  return { size, values: values.map((total, square) => total / counts[square]) };
}

/** The inverses of several methods, those that are equal to rounding as one; those equal to the exact one by name only. */
export function groupInverses(
  exact: Float64Array,
  order: number,
  averaged: number,
  found: readonly { readonly name: string; readonly inverse: Float64Array }[],
): { same: string[]; approximations: ApproximateInverse[] } {
  const same: string[] = [];
  const groups: { names: string[]; inverse: Float64Array; error: number }[] = [];
  for (const { name, inverse } of found) {
    const error = relativeError(inverse, exact);
    const group = groups.find((one) => relativeError(inverse, one.inverse) < SAME);
    if (error < SAME) same.push(name);
    else if (group) group.names.push(name);
    else groups.push({ names: [name], inverse, error });
  }
  const approximations = groups
    .sort((a, b) => a.error - b.error)
    .map(({ names, error, inverse }) => ({ names, error, map: heatMap(inverse, order, averaged) }));
  return { same, approximations };
}
