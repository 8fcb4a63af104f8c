/**
 * Convolution with 3 × 3 filters by a quarter of the multiplications [Winograd 1980; Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural
 * Networks", F(4 × 4, 3 × 3)].
 *
 * A piece of four outputs of a convolution with three coefficients is a product of polynomials, read off at six points, one of them infinity:
 *
 *   y = Aᵀ[(G g) ⊙ (Bᵀ d)],   d ∈ ℝ⁶, g ∈ ℝ³, y ∈ ℝ⁴,
 *
 * and in two dimensions the same along rows and columns, so that 16 outputs take 36 products instead of 144. Summed over channels these are 36 products
 * of matrices for every tile,
 *
 *   convolve             Y = Aᵀ[Σ_c (G w Gᵀ)_co ⊙ (Bᵀ X B)_c]A
 *   convolveTransposed   X = B[Σ_o (G w Gᵀ)_co ⊙ (A Y Aᵀ)_o]Bᵀ        its transpose by X
 *   filterProducts       P = Gᵀ[Σ (Bᵀ X B)_c ⊙ (A Y Aᵀ)_o]G           its transpose by w; the sum is over tiles and samples
 *
 * Images are (H, W, N, C) here: then a transform along H or W of all tiles is one product with a constant matrix, and every product has N·(tiles in a row)
 * rows of C neighbours. `image-layout.ts` brings them into that form.
 *
 * The result is the same but for rounding, which the points decide: with 0, ±3/4, ±3/2, ∞ it is five times that of ONNX Runtime's Conv, with the common
 * 0, ±1, ±2, ∞ ten times (bench/winograd.ts measures it, test/graph/winograd.test.ts has the bound).
 */
import { reshape, transpose } from "./arrange.ts";
import type { Convolution } from "./convolution.ts";
import { matmul } from "./matmul.ts";
import { sum } from "./reduce.ts";
import { constant, type SymbolicTensor } from "./symbolic.ts";

/** Outputs of a tile in one dimension, coefficients of a filter, and the products that they take. */
const OUTPUTS = 4;
const TAPS = 3;
const POINTS = [0, 0.75, -0.75, 1.5, -1.5];
const PRODUCTS = OUTPUTS + TAPS - 1;

/** Channels C and filters O must have 1/C + 1/O at most this: transforms grow with C + O, what they save with C·O. */
const MOST_TRANSFORMS = 1 / 56;
/** The least batch, for products of so many rows, and the largest image, for transforms are products with full matrices. */
const LEAST_SAMPLES = 32;
const LARGEST_IMAGE = 64;
/** Most numbers in all transformed images of one operand, 36/16 times as many as in the images: 128 MiB. */
const MOST_NUMBERS = 2 ** 25;

/** Sizes of a convolution of x (N, C, H, W) to y (N, O, H', W'). */
interface Geometry {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly convolution: Convolution;
}

export interface WinogradForm {
  /** How many of the node's operands, the first, are images; the rest are filters. */
  readonly images: number;
  /** Whether the result is images, too. */
  readonly yieldsImages: boolean;
  /** Numbers in the transformed x, where the node shares it with the convolution itself and it is kept from one to the other. */
  readonly shared: number;
  /**
   * The node's value from its operands; images are (H, W, N, C) here, operands and result.
   *
   * @param apart whether what the node shares is computed again, in another order, which makes it a value of its own
   */
  build(operands: readonly SymbolicTensor[], apart?: boolean): SymbolicTensor;
}

/** How a node is computed by this algorithm; nothing where it is no convolution, in any of the three forms, or the algorithm does not suit it. */
export function winogradForm({
  operation,
  inputs,
  shape,
  dtype,
  attributes,
}: SymbolicTensor): WinogradForm | undefined {
  if (dtype !== "float32" || inputs.length !== 2) return undefined;
  const convolution = attributes as Convolution;
  const [first, second] = inputs;
  const suited = (geometry: Geometry, kernel: readonly number[], form: Form, images: number) => {
    if (!suits(geometry, kernel)) return undefined;
    const shared = images === 2 ? transformedPositions(geometry.y) * first.shape[1] : 0;
    return { images, yieldsImages: images === 1, shared, build: form(geometry) };
  };
  switch (operation.name) {
    case "convolution":
      return suited({ x: first.shape, y: shape, convolution }, second.shape.slice(2), convolve, 1);
    case "transposedConvolution":
      return suited({ x: shape, y: first.shape, convolution }, second.shape.slice(2), convolveTransposed, 1);
    case "filterProducts":
      return suited({ x: first.shape, y: second.shape, convolution }, shape.slice(2), filterProducts, 2);
    default:
      return undefined;
  }
}

/** 3 × 3, unit strides, many channels and samples, images of middling size. */
function suits({ x, y, convolution }: Geometry, kernel: readonly number[]): boolean {
  const { strides, dilations, padding, groups } = convolution;
  const [samples, channels, ...size] = x;
  const [, filters, ...positions] = y;
  const plain = [...strides, ...dilations, groups].every((count) => count === 1);
  if (!plain || kernel.some((taps) => taps !== TAPS) || padding.some((zeros) => zeros >= TAPS)) return false;
  const transformed = transformedPositions(y);
  return (
    1 / channels + 1 / filters <= MOST_TRANSFORMS &&
    samples >= LEAST_SAMPLES &&
    Math.max(...size) <= LARGEST_IMAGE &&
    samples * positions[0] * positions[1] >= (transformed / PRODUCTS ** 2) * (OUTPUTS ** 2 / 2) &&
    transformed * Math.max(channels, filters) <= MOST_NUMBERS
  );
}

/** Numbers in a channel of transformed images, of the shape of the convolution's result. */
function transformedPositions([samples, , height, width]: readonly number[]): number {
  return samples * tileCount(height) * tileCount(width) * PRODUCTS ** 2;
}

type Form = (geometry: Geometry) => WinogradForm["build"];

/** Windows of x (H, W, N, C) times filters w (O, C, 3, 3): (H', W', N, O). */
const convolve: Form =
  (geometry) =>
  ([x, w]) => {
    const { rows, columns } = transforms(geometry);
    const filters = transformFilters(w, [2, 3, 1, 0]);
    const tiles = matmul(toTiles(x, rows.fromImage, columns.fromImage), filters);
    return fromTiles(tiles, rows.toResult, columns.toResult);
  };

/** The transpose of that as a map of x, from y (H', W', N, O) to (H, W, N, C). */
const convolveTransposed: Form =
  (geometry) =>
  ([y, w]) => {
    const { rows, columns } = transforms(geometry);
    const filters = transformFilters(w, [2, 3, 0, 1]);
    const tiles = matmul(toTiles(y, rows.fromResult, columns.fromResult), filters);
    return fromTiles(tiles, rows.toImage, columns.toImage);
  };

/** The transpose as a map of w: from x (H, W, N, C) and y (H', W', N, O) to (O, C, 3, 3). */
const filterProducts: Form =
  (geometry) =>
  ([x, y], apart = false) => {
    const { rows, columns } = transforms(geometry);
    const seen = (apart ? toTilesColumnsFirst : toTiles)(x, rows.fromImage, columns.fromImage);
    const cotangents = toTiles(y, rows.fromResult, columns.fromResult);
    const products = sum(matmul(seen, cotangents, { transposeA: true }), [0]);
    const [channels, filters] = products.shape.slice(-2);
    const kernels = matmul(filterTransform(true), reshape(products, [PRODUCTS ** 2, channels * filters]));
    return transpose(reshape(kernels, [TAPS, TAPS, channels, filters]), [3, 2, 0, 1]);
  };

/** Images (H, W, N, C) as their tiles see them, (tile rows, 6, 6, tile columns · N, C), or the like with A for Bᵀ. */
function toTiles(images: SymbolicTensor, rows: SymbolicTensor, columns: SymbolicTensor): SymbolicTensor {
  const [height, width, samples, channels] = images.shape;
  const byRows = matmul(rows, reshape(images, [height, width * samples * channels]));
  const lines = reshape(byRows, [rows.shape[0], width, samples * channels]);
  const tiles = rows.shape[0] / PRODUCTS;
  const across = (columns.shape[0] / PRODUCTS) * samples;
  return reshape(matmul(columns, lines), [tiles, PRODUCTS, PRODUCTS, across, channels]);
}

/** The same by the other order. */
function toTilesColumnsFirst(
  images: SymbolicTensor,
  rows: SymbolicTensor,
  columns: SymbolicTensor,
): SymbolicTensor {
  const [height, width, samples, channels] = images.shape;
  const byColumns = matmul(columns, reshape(images, [height, width, samples * channels]));
  const tiles = matmul(rows, reshape(byColumns, [height, columns.shape[0] * samples * channels]));
  const across = (columns.shape[0] / PRODUCTS) * samples;
  return reshape(tiles, [rows.shape[0] / PRODUCTS, PRODUCTS, PRODUCTS, across, channels]);
}

/** Back from tiles to images (H', W', N, O). */
function fromTiles(tiles: SymbolicTensor, rows: SymbolicTensor, columns: SymbolicTensor): SymbolicTensor {
  const [height, width] = [rows.shape[0], columns.shape[0]];
  const channels = tiles.shape[4];
  const samples = (tiles.shape[3] * PRODUCTS) / columns.shape[1];
  const lines = matmul(columns, reshape(tiles, [rows.shape[1], columns.shape[1], samples * channels]));
  const images = matmul(rows, reshape(lines, [rows.shape[1], width * samples * channels]));
  return reshape(images, [height, width, samples, channels]);
}

/** G w Gᵀ, (6, 6) matrices of the filters' other two axes in the order of the permutation, which begins with rows and columns. */
function transformFilters(w: SymbolicTensor, permutation: readonly number[]): SymbolicTensor {
  const [, , ...units] = permutation.map((axis) => w.shape[axis]);
  const kernels = reshape(transpose(w, permutation), [TAPS ** 2, units[0] * units[1]]);
  return reshape(matmul(filterTransform(false), kernels), [PRODUCTS, PRODUCTS, ...units]);
}

/** Of one axis: constant matrices between its elements and those of its tiles. */
interface Transform {
  /** Bᵀ of every tile, (6·tiles, H). */
  readonly fromImage: SymbolicTensor;
  /** Its transpose. */
  readonly toImage: SymbolicTensor;
  /** Aᵀ of every tile, (H', 6·tiles). */
  readonly toResult: SymbolicTensor;
  /** Its transpose. */
  readonly fromResult: SymbolicTensor;
}

/** A row of tiles is six rows one after the other; of columns the first of all tiles come first, so that products have more rows. */
function transforms({ x, y, convolution: { padding } }: Geometry): { rows: Transform; columns: Transform } {
  return {
    rows: transform(x[2], y[2], padding[0], (tile, k) => tile * PRODUCTS + k),
    columns: transform(x[3], y[3], padding[1], (tile, k) => k * tileCount(y[3]) + tile),
  };
}

function transform(
  size: number,
  outputs: number,
  before: number,
  place: (tile: number, k: number) => number,
): Transform {
  const tiles = tileCount(outputs);
  const [inputs, results] = [new Map<string, number>(), new Map<string, number>()];
  for (let tile = 0; tile < tiles; tile++) {
    for (let k = 0; k < PRODUCTS; k++) {
      const row = place(tile, k);
      for (let j = 0; j < PRODUCTS; j++) inputs.set(`${row},${tile * OUTPUTS + j - before}`, INPUT[k][j]);
      for (let j = 0; j < OUTPUTS; j++)
        results.set(`${row},${tile * OUTPUTS + j}`, evaluation(k, j, OUTPUTS));
    }
  }
  const count = tiles * PRODUCTS;
  const of = `${size} to ${outputs} after ${before}, next ${place(0, 1)}`;
  return {
    fromImage: matrix(`Bᵀ ${of}`, count, size, (row, column) => inputs.get(`${row},${column}`) ?? 0),
    toImage: matrix(`B ${of}`, size, count, (row, column) => inputs.get(`${column},${row}`) ?? 0),
    toResult: matrix(`Aᵀ ${of}`, outputs, count, (row, column) => results.get(`${column},${row}`) ?? 0),
    fromResult: matrix(`A ${of}`, count, outputs, (row, column) => results.get(`${row},${column}`) ?? 0),
  };
}

/** G ⊗ G, (36, 9), or its transpose. */
function filterTransform(transposed: boolean): SymbolicTensor {
  const entry = (k: number, j: number) =>
    evaluation(Math.floor(k / PRODUCTS), Math.floor(j / TAPS), TAPS) *
    evaluation(k % PRODUCTS, j % TAPS, TAPS);
  return transposed
    ? matrix("Gᵀ", TAPS ** 2, PRODUCTS ** 2, (j, k) => entry(k, j))
    : matrix("G", PRODUCTS ** 2, TAPS ** 2, entry);
}

/** What the j-th of `count` coefficients adds to a polynomial at the k-th point: p^j, and at infinity the leading coefficient alone. */
function evaluation(k: number, j: number, count: number): number {
  return k < POINTS.length ? POINTS[k] ** j : Number(j === count - 1);
}

/** Bᵀ: row k has the coefficients of the polynomial that is 1 at the k-th point and 0 at the others; of infinity the one that is 0 at all others. */
const INPUT: readonly (readonly number[])[] = [...POINTS, Infinity].map((point) => {
  const others = POINTS.filter((other) => other !== point);
  const polynomial = others.reduce<number[]>(
    (product, root) =>
      Array.from({ length: product.length + 1 }, (_, k) => (product[k - 1] ?? 0) - root * (product[k] ?? 0)),
    [1],
  );
  const scale = point === Infinity ? 1 : others.reduce((product, other) => product * (point - other), 1);
  return Array.from({ length: PRODUCTS }, (_, k) => (polynomial[k] ?? 0) / scale);
});

function tileCount(outputs: number): number {
  return Math.ceil(outputs / OUTPUTS);
}

const matrices = new Map<string, SymbolicTensor>();

/** A constant matrix, under one name one and the same, so that equal transforms are one node. */
function matrix(
  name: string,
  rows: number,
  columns: number,
  entry: (row: number, column: number) => number,
): SymbolicTensor {
  const known = matrices.get(name);
  if (known) return known;
  const data = Array.from({ length: rows * columns }, (_, k) => entry(Math.floor(k / columns), k % columns));
  const made = constant(data, [rows, columns], "float32");
  matrices.set(name, made);
  return made;
}
