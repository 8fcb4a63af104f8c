import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { UsageError } from "../../src/errors.ts";
import { keepFileAs, writeFileAtomically } from "../../src/training/atomic-file.ts";
import { withRunLock } from "../../src/training/run-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "natgrad-lock-"));
after(() => rmSync(folder, { recursive: true }));

describe("the lock of a run folder", () => {
  const lock = join(folder, "running");
  const claim = (process: number, since: number) => writeFileSync(lock, JSON.stringify({ process, since }));

  it("is there while the work is done, and refuses whoever comes meanwhile", async () => {
    const result = await withRunLock(folder, async () => {
      const message = `${folder} is being trained by process ${process.pid} (wait for it, or stop it with: kill ${process.pid})`;
      await assert.rejects(
        withRunLock(folder, async () => assert.fail("two at once")),
        new UsageError(message),
      );
      assert.ok(existsSync(lock));
      return 5;
    });
    assert.equal(result, 5);
    assert.ok(!existsSync(lock));
  });

  it("goes when the work fails", async () => {
    const failing = withRunLock(folder, async () => {
      throw new Error("no more paper");
    });
    await assert.rejects(failing, /no more paper/);
    assert.ok(!existsSync(lock));
  });

  it("does not hold for a process that was killed, for one from before the machine was started, nor when damaged", async () => {
    const gone = Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
    claim(gone, Date.now());
    assert.equal(
      await withRunLock(folder, async () => readFileSync(lock, "utf8").includes(`${gone}`)),
      false,
    );
    claim(process.pid, Date.parse("2000-01-01"));
    await withRunLock(folder, async () => {});
    writeFileSync(lock, "{");
    await withRunLock(folder, async () => {});
    assert.ok(!existsSync(lock));
  });

  it("says which file cannot be written", async () => {
    const missing = join(folder, "nowhere");
    await assert.rejects(
      withRunLock(missing, async () => {}),
      { name: "RunError", message: /^cannot write .*nowhere\/running: ENOENT/ },
    );
  });
});

describe("a file kept under a second name", () => {
  it("stays as it is when the first is written anew, without its bytes being written twice", async () => {
    const [newest, best] = [join(folder, "newest"), join(folder, "best")];
    await writeFileAtomically(newest, "one");
    await keepFileAs(newest, best);
    await keepFileAs(newest, best); // the same again
    assert.equal(statSync(best).ino, statSync(newest).ino);
    await writeFileAtomically(newest, "two");
    assert.equal(readFileSync(best, "utf8"), "one");
    await keepFileAs(newest, best);
    assert.equal(readFileSync(best, "utf8"), "two");
    assert.deepEqual((await readdir(folder)).sort(), ["best", "newest"]);
  });
});
