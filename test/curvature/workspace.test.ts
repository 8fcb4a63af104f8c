/** Memory lent to large factorizations. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Workspace } from "../../src/curvature/workspace.ts";

/** A promise that is settled from outside. */
function latch(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("workspace", () => {
  it("starts the largest work first, and no more than fits", async () => {
    const workspace = new Workspace({ limit: 8 * 100 });
    const started: number[] = [];
    const latches = new Map<number, ReturnType<typeof latch>>();
    const ask = (length: number) =>
      workspace.lend(length, async (block) => {
        assert.equal(block.length, length);
        started.push(length);
        const gate = latch();
        latches.set(length, gate);
        await gate.opened;
        return length;
      });
    const results = Promise.all([30, 60, 50, 40].map(ask));
    await settle();
    assert.deepEqual(started, [60, 40]);
    latches.get(60)!.open();
    await settle();
    assert.deepEqual(started, [60, 40, 50]); // in the block of 60, which is large enough
    latches.get(50)!.open();
    await settle();
    assert.deepEqual(started, [60, 40, 50, 30]);
    latches.get(40)!.open();
    latches.get(30)!.open();
    assert.deepEqual(await results, [30, 60, 50, 40]);
  });

  it("lends beyond the limit to work that is alone", async () => {
    const workspace = new Workspace({ limit: 8 });
    assert.equal(await workspace.lend(100, async (block) => block.length), 100);
    assert.equal(workspace.bytesFor([800, 16]), 800);
    assert.equal(workspace.bytesFor([4, 2]), 6);
  });

  it("lends the same memory again, unless it is not to be kept", async () => {
    for (const keep of [true, false]) {
      const workspace = new Workspace({ keep });
      const used = await workspace.lend(10, async (block) => block.buffer);
      assert.equal((await workspace.lend(7, async (block) => block.buffer)) === used, keep);
    }
  });

  it("takes memory back from work that failed, and says so to whom it was promised", async () => {
    const workspace = new Workspace({ limit: 80 });
    await assert.rejects(
      workspace.lend(10, async () => {
        throw new Error("singular");
      }),
      /singular/,
    );
    assert.equal(await workspace.lend(10, async () => "next"), "next");
    await assert.rejects(
      workspace.lend(2 ** 53, async () => {}),
      RangeError,
    );
    assert.equal(await workspace.lend(10, async () => "still"), "still");
  });
});
