/** Kernel matrices on the host: float64, row-major, one row for each point (and output) at which a prediction is made. */

/** A host tensor of rank 2 in float64: (rows, columns). */
export interface KernelMatrix {
  readonly shape: readonly [rows: number, columns: number];
  readonly data: Float64Array;
}

/** A matrix of zeros, or of the numbers given. */
export function kernelMatrix(
  rows: number,
  columns: number,
  data: Float64Array = new Float64Array(rows * columns),
): KernelMatrix {
  if (data.length !== rows * columns) {
    throw new RangeError(`invalid kernel: ${data.length} numbers for shape (${rows}, ${columns})`);
  }
  return { shape: [rows, columns], data };
}

/** A B, (rows, columns). */
export function product(a: KernelMatrix, b: KernelMatrix): KernelMatrix {
  const [rows, inner] = a.shape;
  const [height, columns] = b.shape;
  if (inner !== height)
    throw new RangeError(`invalid product: (${rows}, ${inner}) × (${height}, ${columns})`);
  const result = kernelMatrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < inner; k++) {
      const factor = a.data[row * inner + k];
      if (factor === 0) continue;
      const from = k * columns;
      const to = row * columns;
      for (let column = 0; column < columns; column++) {
        result.data[to + column] += factor * b.data[from + column];
      }
    }
  }
  return result;
}

/** Aᵀ, (columns, rows). */
export function transposed({ shape: [rows, columns], data }: KernelMatrix): KernelMatrix {
  const result = kernelMatrix(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      result.data[column * rows + row] = data[row * columns + column];
  }
  return result;
}

/** Σ_k weights[k]·matrices[k], of matrices of one shape. */
export function weightedSum(
  matrices: readonly KernelMatrix[],
  weights: ArrayLike<number> = matrices.map(() => 1),
): KernelMatrix {
  const [rows, columns] = matrices[0].shape;
  const result = kernelMatrix(rows, columns);
  matrices.forEach(({ data }, k) => {
    for (let i = 0; i < data.length; i++) result.data[i] += weights[k] * data[i];
  });
  return result;
}

/** The order of a square matrix. @throws RangeError when it is not square */
export function orderOf(name: string, { shape: [rows, columns] }: KernelMatrix): number {
  if (rows !== columns) throw new RangeError(`invalid ${name}: (${rows}, ${columns}) (must be square)`);
  return rows;
}
