// Householder tridiagonalization and the application of its reflectors and of plane rotations, AssemblyScript.
//
// EISPACK's tred2 (Martin, Reinsch & Wilkinson 1968, Numer. Math. 11; Golub & Van Loan, 4th ed., §8.3.1) works from the
// last row up, so that every reflector u is a row, contiguous, and the rest is a leading submatrix:
//
//   h = ½ uᵀu,  p = A u / h,  q = p − (uᵀp / 2h) u,  A := A − u qᵀ − q uᵀ
//
// differs from tred2: the update of one step and the product A u of the next happen in one pass over the lower triangle,
// two rows at a time, so that memory is read once a step and not twice.

/** Below this square a row is rounding error beside a matrix scaled to about 1; dividing by it would be meaningless. */
const NEGLIGIBLE: f64 = 1e-290;

// @ts-ignore: decorator
@inline
function at(vector: usize, index: usize): f64 {
  return load<f64>(vector + index * 8);
}

// @ts-ignore: decorator
@inline
function total(a: v128): f64 {
  return f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1);
}

/** Σ a[k] b[k], k < count; one more element is read where count is odd, and must be zero in one of them. */
function dot(a: usize, b: usize, count: usize): f64 {
  let even = f64x2.splat(0);
  let odd = f64x2.splat(0);
  const end = count * 8;
  for (let k: usize = 0; k < end; k += 32) {
    even = f64x2.add(even, f64x2.mul(v128.load(a + k), v128.load(b + k)));
    if (k + 16 < end) odd = f64x2.add(odd, f64x2.mul(v128.load(a + k, 16), v128.load(b + k, 16)));
  }
  return total(f64x2.add(even, odd));
}

/**
 * Steps `from` down to `to` (inclusive) of the reduction of the lower triangle at `a`.
 *
 * Row i ends as the reflector u of step i, zero from column i on; `heights`[i] is its h (0: no reflection),
 * `diagonal`[i] and `offDiagonal`[i] (between i − 1 and i) are the tridiagonal matrix. `q` holds two vectors of
 * stride / 8 numbers, used in turn, all zero before the first step. stride / 8 exceeds the order by two at least.
 */
export function reduceRows(
  a: usize, stride: usize, order: usize, from: i32, to: i32, q: usize, diagonal: usize, offDiagonal: usize, heights: usize,
): void {
  for (let step = from; step >= to; step--) {
    const i = <usize>step;
    const row = a + i * stride;
    // The update that the previous step left: u is the row below, q the vector of this parity.
    const oldQ = q + (i & 1) * stride;
    const newQ = q + ((i & 1) ^ 1) * stride;
    const oldU = i + 1 < order ? row + stride : oldQ;
    updateRow(row, i + 1, oldU, oldQ, i);
    store<f64>(diagonal + i * 8, at(row, i));
    store<f64>(row + i * 8, 0);
    store<f64>(row + i * 8, 0, 8);
    if (i == 0) return;

    const last = row + (i - 1) * 8;
    const corner = load<f64>(last);
    store<f64>(last, 0);
    const rest = dot(row, row, i);
    let h: f64 = 0;
    if (rest < NEGLIGIBLE) {
      store<f64>(offDiagonal + i * 8, corner);
      memory.fill(row, 0, i * 8);
    } else {
      const norm = Math.sqrt(rest + corner * corner);
      const reflected = corner > 0 ? -norm : norm;
      h = rest + corner * corner - corner * reflected;
      store<f64>(offDiagonal + i * 8, reflected);
      store<f64>(last, corner - reflected);
    }
    store<f64>(heights + i * 8, h);

    memory.fill(newQ, 0, (i + 2) * 8);
    let j: usize = 0;
    for (; j + 1 < i; j += 2) updateAndMultiply(a + j * stride, stride, j, oldU, oldQ, row, newQ);
    if (j < i) {
      // The last row of an odd number, on its own.
      const single = a + j * stride;
      updateRow(single, j + 1, oldU, oldQ, j);
      const u = at(row, j);
      let p: f64 = 0;
      for (let k: usize = 0; k < j; k++) {
        p += at(single, k) * at(row, k);
        store<f64>(newQ + k * 8, at(newQ, k) + at(single, k) * u);
      }
      store<f64>(newQ + j * 8, at(newQ, j) + p + at(single, j) * u);
    }
    if (h == 0) {
      memory.fill(newQ, 0, (i + 2) * 8);
    } else {
      const shift = dot(row, newQ, i) / h / (2 * h);
      for (let k: usize = 0; k < i; k++) store<f64>(newQ + k * 8, at(newQ, k) / h - shift * at(row, k));
    }
  }
}

/** Row j of A := A − u qᵀ − q uᵀ, its first `count` elements (and one more where that is odd). */
function updateRow(row: usize, count: usize, u: usize, q: usize, j: usize): void {
  const uj = f64x2.splat(at(u, j));
  const qj = f64x2.splat(at(q, j));
  for (let k: usize = 0; k < count * 8; k += 16) {
    const change = f64x2.add(f64x2.mul(uj, v128.load(q + k)), f64x2.mul(qj, v128.load(u + k)));
    v128.store(row + k, f64x2.sub(v128.load(row + k), change));
  }
}

/** Rows j and j + 1 (j even): the same update, then p += A w with the lower triangle standing for both. */
// @ts-ignore: decorator
@inline
function updateAndMultiply(row: usize, stride: usize, j: usize, u: usize, q: usize, w: usize, p: usize): void {
  const low = row + stride;
  const end = j * 8;
  const u0 = v128.load64_splat(u + end);
  const u1 = v128.load64_splat(u + end, 8);
  const q0 = v128.load64_splat(q + end);
  const q1 = v128.load64_splat(q + end, 8);
  const w0 = v128.load64_splat(w + end);
  const w1 = v128.load64_splat(w + end, 8);
  let p0 = f64x2.splat(0);
  let p1 = f64x2.splat(0);
  for (let k: usize = 0; k < end; k += 16) {
    const uk = v128.load(u + k);
    const qk = v128.load(q + k);
    const wk = v128.load(w + k);
    const a0 = f64x2.sub(v128.load(row + k), f64x2.add(f64x2.mul(u0, qk), f64x2.mul(q0, uk)));
    const a1 = f64x2.sub(v128.load(low + k), f64x2.add(f64x2.mul(u1, qk), f64x2.mul(q1, uk)));
    v128.store(row + k, a0);
    v128.store(low + k, a1);
    p0 = f64x2.add(p0, f64x2.mul(a0, wk));
    p1 = f64x2.add(p1, f64x2.mul(a1, wk));
    v128.store(p + k, f64x2.add(v128.load(p + k), f64x2.add(f64x2.mul(a0, w0), f64x2.mul(a1, w1))));
  }
  // The triangle on the diagonal: a00; a10, a11.
  const s0 = at(u, j);
  const s1 = at(u, j + 1);
  const t0 = at(q, j);
  const t1 = at(q, j + 1);
  const a00 = load<f64>(row + end) - 2 * s0 * t0;
  const a10 = load<f64>(low + end) - (s1 * t0 + t1 * s0);
  const a11 = load<f64>(low + end, 8) - 2 * s1 * t1;
  store<f64>(row + end, a00);
  store<f64>(low + end, a10);
  store<f64>(low + end, a11, 8);
  const v0 = at(w, j);
  const v1 = at(w, j + 1);
  store<f64>(p + end, load<f64>(p + end) + total(p0) + a00 * v0 + a10 * v1);
  store<f64>(p + end, load<f64>(p + end, 8) + total(p1) + a10 * v0 + a11 * v1, 8);
}

/**
 * Eight rows of V := V H_from ⋯ H_to, stored as a panel: eight adjacent numbers for each column of V.
 * H_i = I − u uᵀ/h acts on the first i columns.
 */
export function reflectPanel(panel: usize, a: usize, stride: usize, from: i32, to: i32, heights: usize): void {
  for (let step = from; step >= to; step--) {
    const i = <usize>step;
    const h = at(heights, i);
    if (h == 0) continue;
    const u = a + i * stride;
    let t0 = f64x2.splat(0);
    let t1 = t0;
    let t2 = t0;
    let t3 = t0;
    for (let k: usize = 0; k < i; k++) {
      const uk = v128.load64_splat(u + k * 8);
      const column = panel + k * 64;
      t0 = f64x2.add(t0, f64x2.mul(uk, v128.load(column)));
      t1 = f64x2.add(t1, f64x2.mul(uk, v128.load(column, 16)));
      t2 = f64x2.add(t2, f64x2.mul(uk, v128.load(column, 32)));
      t3 = f64x2.add(t3, f64x2.mul(uk, v128.load(column, 48)));
    }
    const height = f64x2.splat(h);
    t0 = f64x2.div(t0, height);
    t1 = f64x2.div(t1, height);
    t2 = f64x2.div(t2, height);
    t3 = f64x2.div(t3, height);
    for (let k: usize = 0; k < i; k++) {
      const uk = v128.load64_splat(u + k * 8);
      const column = panel + k * 64;
      v128.store(column, f64x2.sub(v128.load(column), f64x2.mul(uk, t0)));
      v128.store(column, f64x2.sub(v128.load(column, 16), f64x2.mul(uk, t1)), 16);
      v128.store(column, f64x2.sub(v128.load(column, 32), f64x2.mul(uk, t2)), 32);
      v128.store(column, f64x2.sub(v128.load(column, 48), f64x2.mul(uk, t3)), 48);
    }
  }
}

/**
 * Eight rows of V times the plane rotations of many QL sweeps. `sweeps` holds `count` pairs (low, high) of int32: the
 * sweep's rotations act on columns (high − 1, high), …, (low, low + 1) in this order; `rotations` holds their
 * (cosine, sine) one after the other.
 */
export function rotatePanel(panel: usize, sweeps: usize, count: usize, rotations: usize): void {
  for (let sweep: usize = 0; sweep < count; sweep++) {
    const low = panel + (<usize>load<u32>(sweeps + sweep * 8)) * 64;
    let column = panel + (<usize>load<u32>(sweeps + sweep * 8, 4)) * 64;
    let x0 = v128.load(column);
    let x1 = v128.load(column, 16);
    let x2 = v128.load(column, 32);
    let x3 = v128.load(column, 48);
    while (column > low) {
      const c = v128.load64_splat(rotations);
      const s = v128.load64_splat(rotations, 8);
      rotations += 16;
      const next = column - 64;
      const y0 = v128.load(next);
      const y1 = v128.load(next, 16);
      const y2 = v128.load(next, 32);
      const y3 = v128.load(next, 48);
      v128.store(column, f64x2.add(f64x2.mul(s, y0), f64x2.mul(c, x0)));
      v128.store(column, f64x2.add(f64x2.mul(s, y1), f64x2.mul(c, x1)), 16);
      v128.store(column, f64x2.add(f64x2.mul(s, y2), f64x2.mul(c, x2)), 32);
      v128.store(column, f64x2.add(f64x2.mul(s, y3), f64x2.mul(c, x3)), 48);
      x0 = f64x2.sub(f64x2.mul(c, y0), f64x2.mul(s, x0));
      x1 = f64x2.sub(f64x2.mul(c, y1), f64x2.mul(s, x1));
      x2 = f64x2.sub(f64x2.mul(c, y2), f64x2.mul(s, x2));
      x3 = f64x2.sub(f64x2.mul(c, y3), f64x2.mul(s, x3));
      column = next;
    }
    v128.store(low, x0);
    v128.store(low, x1, 16);
    v128.store(low, x2, 32);
    v128.store(low, x3, 48);
  }
}
