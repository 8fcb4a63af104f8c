// Triangular kernels, AssemblyScript. One tile does nearly all the work of Cholesky, of triangular solves with many
// right-hand sides and of the inverse: two rows of X against four rows of L,
//
//   X[i, J] := (X[i, J] − Σ_{start ≤ k < J} X[i, k] L[J, k]ᵀ) L[J, J]⁻ᵀ         i: 2 rows, J: 4 columns
//
// i.e. one step of X := X L⁻ᵀ (Golub & Van Loan, 4th ed., §3.1.4 and §4.2.9: the gaxpy form of the blocked
// factorization). Both operands are rows, contiguous in k, so nothing is packed: eight f64x2 accumulators hold the eight
// dot products, six loads feed sixteen multiply-adds. Matrices are row-major, order padded to a multiple of four,
// `stride` in bytes; `x` and `l` are addresses of rows.

/** Two adjacent numbers at an address. */
// @ts-ignore: decorator
@inline
function pair(address: usize): v128 {
  return v128.load(address);
}

/** (sum of a's lanes, sum of b's lanes). */
// @ts-ignore: decorator
@inline
function sums(a: v128, b: v128): v128 {
  return f64x2.add(v128.shuffle<f64>(a, b, 0, 2), v128.shuffle<f64>(a, b, 1, 3));
}

/**
 * The tile above, read from and written to `c`; `solve = false` leaves out the multiplication by L[J, J]⁻ᵀ.
 * `start` and `end` (= J) are offsets in bytes.
 */
// @ts-ignore: decorator
@inline
function tile(
  c: usize, strideC: usize, x: usize, strideX: usize, l: usize, strideL: usize, start: usize, end: usize, solve: bool,
): void {
  const x1 = x + strideX;
  const l1 = l + strideL;
  const l2 = l1 + strideL;
  const l3 = l2 + strideL;
  let a0 = f64x2.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let k = start; k < end; k += 32) {
    let p = pair(x + k);
    let q = pair(x1 + k);
    let r = pair(l + k);
    a0 = f64x2.add(a0, f64x2.mul(p, r));
    b0 = f64x2.add(b0, f64x2.mul(q, r));
    r = pair(l1 + k);
    a1 = f64x2.add(a1, f64x2.mul(p, r));
    b1 = f64x2.add(b1, f64x2.mul(q, r));
    r = pair(l2 + k);
    a2 = f64x2.add(a2, f64x2.mul(p, r));
    b2 = f64x2.add(b2, f64x2.mul(q, r));
    r = pair(l3 + k);
    a3 = f64x2.add(a3, f64x2.mul(p, r));
    b3 = f64x2.add(b3, f64x2.mul(q, r));
    p = v128.load(x + k, 16);
    q = v128.load(x1 + k, 16);
    r = v128.load(l + k, 16);
    a0 = f64x2.add(a0, f64x2.mul(p, r));
    b0 = f64x2.add(b0, f64x2.mul(q, r));
    r = v128.load(l1 + k, 16);
    a1 = f64x2.add(a1, f64x2.mul(p, r));
    b1 = f64x2.add(b1, f64x2.mul(q, r));
    r = v128.load(l2 + k, 16);
    a2 = f64x2.add(a2, f64x2.mul(p, r));
    b2 = f64x2.add(b2, f64x2.mul(q, r));
    r = v128.load(l3 + k, 16);
    a3 = f64x2.add(a3, f64x2.mul(p, r));
    b3 = f64x2.add(b3, f64x2.mul(q, r));
  }
  // From here a lane is a row of X and a vector a column of the tile.
  const c1 = c + strideC;
  const top01 = pair(c);
  const top23 = v128.load(c, 16);
  const low01 = pair(c1);
  const low23 = v128.load(c1, 16);
  let y0 = f64x2.sub(v128.shuffle<f64>(top01, low01, 0, 2), sums(a0, b0));
  let y1 = f64x2.sub(v128.shuffle<f64>(top01, low01, 1, 3), sums(a1, b1));
  let y2 = f64x2.sub(v128.shuffle<f64>(top23, low23, 0, 2), sums(a2, b2));
  let y3 = f64x2.sub(v128.shuffle<f64>(top23, low23, 1, 3), sums(a3, b3));
  if (solve) {
    const d1 = l1 + end;
    const d2 = l2 + end;
    const d3 = l3 + end;
    y0 = f64x2.div(y0, v128.load64_splat(l + end));
    y1 = f64x2.sub(y1, f64x2.mul(y0, v128.load64_splat(d1)));
    y2 = f64x2.sub(y2, f64x2.mul(y0, v128.load64_splat(d2)));
    y3 = f64x2.sub(y3, f64x2.mul(y0, v128.load64_splat(d3)));
    y1 = f64x2.div(y1, v128.load64_splat(d1, 8));
    y2 = f64x2.sub(y2, f64x2.mul(y1, v128.load64_splat(d2, 8)));
    y3 = f64x2.sub(y3, f64x2.mul(y1, v128.load64_splat(d3, 8)));
    y2 = f64x2.div(y2, v128.load64_splat(d2, 16));
    y3 = f64x2.sub(y3, f64x2.mul(y2, v128.load64_splat(d3, 16)));
    y3 = f64x2.div(y3, v128.load64_splat(d3, 24));
  }
  v128.store(c, v128.shuffle<f64>(y0, y1, 0, 2));
  v128.store(c, v128.shuffle<f64>(y2, y3, 0, 2), 16);
  v128.store(c1, v128.shuffle<f64>(y0, y1, 1, 3));
  v128.store(c1, v128.shuffle<f64>(y2, y3, 1, 3), 16);
}

/**
 * X := X L⁻ᵀ in columns `from` to `to`, given the columns before `from`; columns before `start` of X are zero.
 * `rows` is even; `from`, `to` and `start` are multiples of four.
 */
export function solveRows(
  x: usize, strideX: usize, rows: usize, l: usize, strideL: usize, start: usize, from: usize, to: usize,
): void {
  for (let j = from; j < to; j += 4) {
    for (let i: usize = 0; i < rows; i += 2) {
      const row = x + i * strideX;
      tile(row + j * 8, strideX, row, strideX, l + j * strideL, strideL, start * 8, j * 8, true);
    }
  }
}

/**
 * C −= X Yᵀ summed over columns `start` to `end` of `rows` rows of X (even) and of Y's rows `from` to `to` (multiples
 * of four), which are C's columns.
 */
export function subtractProducts(
  c: usize, strideC: usize, x: usize, strideX: usize, rows: usize, y: usize, strideY: usize, from: usize, to: usize,
  start: usize, end: usize,
): void {
  for (let j = from; j < to; j += 4) {
    for (let i: usize = 0; i < rows; i += 2) {
      tile(c + i * strideC + j * 8, strideC, x + i * strideX, strideX, y + j * strideY, strideY, start * 8, end * 8, false);
    }
  }
}

/**
 * Factors the diagonal block of rows `from` to `to` (multiples of four), whose columns before `from` are done.
 * Returns 0, or the 1-based row whose pivot is not a positive finite number.
 */
export function factorBlock(a: usize, stride: usize, from: usize, to: usize): usize {
  for (let j = from; j < to; j += 4) {
    const row = a + j * stride;
    tile(row + j * 8, stride, row, stride, row, stride, 0, j * 8, false);
    tile(row + 2 * stride + j * 8, stride, row + 2 * stride, stride, row, stride, 0, j * 8, false);
    for (let r: usize = 0; r < 4; r++) {
      const own = row + r * stride + j * 8;
      for (let c: usize = 0; c <= r; c++) {
        const other = row + c * stride + j * 8;
        let value = load<f64>(own + c * 8);
        for (let k: usize = 0; k < c; k++) value -= load<f64>(own + k * 8) * load<f64>(other + k * 8);
        if (c < r) {
          store<f64>(own + c * 8, value / load<f64>(other + c * 8));
        } else {
          if (!(value > 0 && value < Infinity)) return j + r + 1;
          store<f64>(own + c * 8, Math.sqrt(value));
        }
      }
    }
    for (let i = j + 4; i < to; i += 2) {
      const below = a + i * stride;
      tile(below + j * 8, stride, below, stride, row, stride, 0, j * 8, true);
    }
  }
  return 0;
}
