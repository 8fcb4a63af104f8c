/**
 * How much memory ONNX Runtime's arena takes for a sequence of allocations: more than lives at once, for what lies free between is in pieces of the
 * wrong size.
 *
 * A model of its allocator (best fit with coalescing, as dlmalloc and TensorFlow's BFC). A request takes the smallest free piece that is large
 * enough, and splits it where the rest would be as large again or over 128 MiB. Where there is none, a new region is taken, twice the size of
 * the last one up to 1 GiB, or as large as the request. Free neighbours within a region become one. A region is memory only as far as it was
 * ever used.
 */

/** Bytes in use, or free, one after the other in their region. */
export interface Piece {
  readonly region: Region;
  readonly offset: number;
  size: number;
  free: boolean;
  before?: Piece;
  after?: Piece;
}

interface Region {
  /** Bytes from its start that have been in use some time. */
  touched: number;
}

const ALIGNMENT = 256;
const MOST_WASTED = 128 * 2 ** 20;
const FIRST_REGION = 2 ** 20;
const LARGEST_DOUBLED = 2 ** 30;

export class ArenaModel {
  #taken = 0;
  #nextRegion = FIRST_REGION;
  readonly #free = new Set<Piece>();

  /** Bytes that have been in use some time. */
  get taken(): number {
    return this.#taken;
  }

  allocate(bytes: number): Piece {
    const size = Math.max(1, Math.ceil(bytes / ALIGNMENT)) * ALIGNMENT;
    const piece = this.#smallest(size) ?? this.#newRegion(size);
    this.#free.delete(piece);
    if (piece.size >= 2 * size || piece.size - size >= MOST_WASTED) this.#split(piece, size);
    piece.free = false;
    const { region, offset } = piece;
    const end = Math.max(region.touched, offset + size);
    this.#taken += end - region.touched;
    region.touched = end;
    return piece;
  }

  release(piece: Piece): void {
    piece.free = true;
    let whole = piece;
    if (piece.before?.free) whole = this.#join(piece.before, piece);
    if (whole.after?.free) whole = this.#join(whole, whole.after);
    this.#free.add(whole);
  }

  #split(piece: Piece, size: number): void {
    const { region, offset, after } = piece;
    const rest = { region, offset: offset + size, size: piece.size - size, free: true, before: piece, after };
    if (after) after.before = rest;
    piece.after = rest;
    piece.size = size;
    this.#free.add(rest);
  }

  #join(first: Piece, second: Piece): Piece {
    this.#free.delete(first);
    this.#free.delete(second);
    first.size += second.size;
    first.after = second.after;
    if (second.after) second.after.before = first;
    return first;
  }

  #smallest(size: number): Piece | undefined {
    let best: Piece | undefined;
    for (const piece of this.#free) {
      if (piece.size >= size && (best === undefined || piece.size < best.size)) best = piece;
    }
    return best;
  }

  #newRegion(size: number): Piece {
    let bytes = this.#nextRegion;
    while (bytes < size && bytes < LARGEST_DOUBLED) bytes *= 2;
    this.#nextRegion = Math.min(LARGEST_DOUBLED, bytes === this.#nextRegion ? 2 * bytes : bytes);
    return { region: { touched: 0 }, offset: 0, size: Math.max(bytes, size), free: true };
  }
}
