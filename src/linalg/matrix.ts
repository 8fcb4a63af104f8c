/** Small things done to dense row-major float64 matrices: copies with strides, mirroring, finite checks. */

/** Checks that `a` holds `rows` × `columns` numbers; `rows` and `columns` are counts. */
export function requireMatrix(name: string, a: Float64Array, rows: number, columns: number): void {
  for (const count of [rows, columns]) {
    if (!Number.isSafeInteger(count) || count < 0) {
      throw new RangeError(`invalid size of ${name}: ${count} (must be an integer ≥ 0)`);
    }
  }
  if (a.length !== rows * columns) {
    throw new RangeError(
      `invalid ${name}: ${a.length} numbers for shape (${rows}, ${columns}) (must be ${rows * columns})`,
    );
  }
}

/** Where the element (row, column) of a matrix lies: `offset + row × rowStride + column × columnStride`. */
export interface Layout {
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** a := aᵀ for square a (n, n), for the elements above the diagonal in columns `from` to `to`; all columns together are the transpose. */
export function transposeInPlace(a: Float64Array, n: number, from: number, to: number): void {
  const tile = 16;
  for (let columnTile = from; columnTile < to; columnTile += tile) {
    const columnEnd = Math.min(to, columnTile + tile);
    for (let rowTile = 0; rowTile < columnEnd; rowTile += tile) {
      for (let column = columnTile; column < columnEnd; column++) {
        for (let row = rowTile; row < Math.min(column, rowTile + tile); row++) {
          const [above, below] = [row * n + column, column * n + row];
          const value = a[above];
          a[above] = a[below];
          a[below] = value;
        }
      }
    }
  }
}

/** target(r, c) := source(r, c), in tiles, for rows `from` to `to`: transposes and flips are layouts. */
export function copyMatrix(
  source: Float64Array,
  from: Layout,
  target: Float64Array,
  to: Layout,
  firstRow: number,
  endRow: number,
  columns: number,
): void {
  const tile = 16;
  for (let rowTile = firstRow; rowTile < endRow; rowTile += tile) {
    const rowEnd = Math.min(endRow, rowTile + tile);
    for (let columnTile = 0; columnTile < columns; columnTile += tile) {
      const width = Math.min(tile, columns - columnTile);
      for (let row = rowTile; row < rowEnd; row++) {
        let read = from.offset + row * from.rowStride + columnTile * from.columnStride;
        let write = to.offset + row * to.rowStride + columnTile * to.columnStride;
        for (let column = 0; column < width; column++) {
          target[write] = source[read];
          read += from.columnStride;
          write += to.columnStride;
        }
      }
    }
  }
}

/** Copies the lower triangle of rows `from` to `to` onto the upper one. */
export function mirrorRows(a: Float64Array, n: number, from: number, to: number): void {
  const tile = 16;
  for (let rowTile = from; rowTile < to; rowTile += tile) {
    for (let columnTile = 0; columnTile < rowTile + tile; columnTile += tile) {
      for (let row = rowTile; row < Math.min(to, rowTile + tile); row++) {
        const end = Math.min(row, columnTile + tile);
        for (let column = columnTile; column < end; column++) a[column * n + row] = a[row * n + column];
      }
    }
  }
}

/** Sets the elements above the diagonal of rows `from` to `to` to zero. */
export function clearUpperRows(a: Float64Array, n: number, from: number, to: number): void {
  for (let row = from; row < to; row++) a.fill(0, row * n + row + 1, (row + 1) * n);
}

/** Whether the numbers `from` to `to` are all finite: x·0 is zero for these only. */
export function allFinite(a: Float64Array, from = 0, to = a.length): boolean {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let index = from;
  for (; index + 3 < to; index += 4) {
    first += a[index] * 0;
    second += a[index + 1] * 0;
    third += a[index + 2] * 0;
    fourth += a[index + 3] * 0;
  }
  for (; index < to; index++) first += a[index] * 0;
  return first + second + third + fourth === 0;
}

/** `"element (3, 5) is NaN"` for the first element of the lower triangle that is not finite. */
export function describeNonFinite(a: Float64Array, n: number): string | undefined {
  for (let row = 0; row < n; row++) {
    if (allFinite(a, row * n, row * n + row + 1)) continue;
    const column = a.subarray(row * n, row * n + row + 1).findIndex((value) => !Number.isFinite(value));
    return `element (${row}, ${column}) is ${a[row * n + column]}`;
  }
  return undefined;
}
