import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ArenaModel, type Piece } from "../../src/graph/arena.ts";

const MiB = 2 ** 20;

describe("a model of an arena", () => {
  it("takes the pieces that are free again, and joins neighbours", () => {
    const arena = new ArenaModel();
    const [a, b] = [arena.allocate(256), arena.allocate(256)];
    assert.equal(arena.taken, 512);
    arena.release(a);
    arena.release(b);
    arena.allocate(512);
    assert.equal(arena.taken, 512);
  });

  it("rounds to 256 bytes, and wastes what is smaller than the request", () => {
    const arena = new ArenaModel();
    const wide = arena.allocate(1000);
    assert.equal(arena.taken, 1024);
    arena.allocate(256);
    arena.release(wide);
    arena.allocate(768); // all of the 1024
    arena.allocate(256);
    assert.equal(arena.taken, 1024 + 2 * 256);
  });

  it("takes the smallest piece that is large enough", () => {
    const arena = new ArenaModel();
    const [large, , small] = [1024, 256, 512, 256].map((bytes) => arena.allocate(bytes));
    arena.release(large);
    arena.release(small);
    assert.equal(arena.allocate(512), small);
    assert.equal(arena.allocate(1024), large);
  });

  it("cannot join what lies in two regions", () => {
    const arena = new ArenaModel();
    const pieces = [3, 3].map((size) => arena.allocate(size * MiB)); // a region of 4 MiB each
    for (const piece of pieces) arena.release(piece);
    assert.notEqual(pieces[0].region, pieces[1].region);
    arena.allocate(6 * MiB);
    assert.equal(arena.taken, (3 + 3 + 6) * MiB);
  });

  it("takes at least what lives at once, for one size no more, and pieces never overlap", () => {
    const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean()), { maxLength: 60 });
    const check = (steps: readonly (readonly [number, boolean])[], same: boolean) => {
      const arena = new ArenaModel();
      const live: { piece: Piece; bytes: number }[] = [];
      let most = 0;
      for (const [size, first] of steps) {
        if (first && live.length > 0) arena.release(live.shift()!.piece);
        const bytes = 256 * (same ? 8 : size);
        live.push({ piece: arena.allocate(bytes), bytes });
        most = Math.max(
          most,
          live.reduce((total, one) => total + one.bytes, 0),
        );
        const ordered = live.map(({ piece }) => piece).sort((p, q) => p.offset - q.offset);
        for (const [k, piece] of ordered.entries()) {
          for (const other of ordered.slice(k + 1)) {
            assert.ok(piece.region !== other.region || piece.offset + piece.size <= other.offset);
          }
        }
      }
      if (same) assert.equal(arena.taken, most);
      else assert.ok(arena.taken >= most);
    };
    fc.assert(fc.property(sizes, fc.boolean(), check), { numRuns: 200 });
  });
});
