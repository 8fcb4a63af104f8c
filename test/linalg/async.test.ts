import assert from "node:assert/strict";
import { it } from "node:test";
import {
  cholesky,
  choleskyAsync,
  choleskyInverse,
  choleskyInverseAsync,
  choleskySolve,
  choleskySolveAsync,
  dampedCholesky,
  dampedCholeskyAsync,
  invertLower,
  invertLowerAsync,
  spdInverse,
  spdInverseAsync,
  symmetricEigen,
  symmetricEigenAsync,
} from "../../src/linalg/index.ts";
import { cooperate, finish, type NativeCall, type Steps } from "../../src/linalg/steps.ts";
import { identity, onBothPaths, randomMatrix, randomSpd, randomSymmetric, using } from "./support.ts";

onBothPaths("asynchronous twins", (backend) => {
  for (const n of [0, 3, 65, 300]) {
    it(
      `return the same bits at n = ${n}, also when several run at once`,
      using(backend, async () => {
        const a = randomSpd(n, 1);
        const l = a.slice();
        assert.equal(cholesky(l, n), 0);
        const right = randomMatrix(n, 5, 2);
        const solved = right.slice();
        choleskySolve(l, n, solved, 5);

        const other = a.slice();
        const otherRight = right.slice();
        const results = await Promise.all([
          choleskyAsync(other, n),
          dampedCholeskyAsync(a, n, 0.1),
          symmetricEigenAsync(a, n),
          spdInverseAsync(a, n),
          invertLowerAsync(l, n),
          choleskyInverseAsync(l, n),
          choleskySolveAsync(l, n, otherRight, 5),
        ]);
        assert.deepEqual(results, [
          0,
          dampedCholesky(a, n, 0.1),
          symmetricEigen(a, n),
          spdInverse(a, n),
          invertLower(l, n),
          choleskyInverse(l, n),
          true,
        ]);
        assert.deepEqual(other, l);
        assert.deepEqual(otherRight, solved);
      }),
    );
  }

  it(
    "report failure as their twins do",
    using(backend, async () => {
      const indefinite = Float64Array.of(1, 2, 2, 1);
      assert.equal(await choleskyAsync(indefinite.slice(), 2), 2);
      assert.deepEqual(await spdInverseAsync(indefinite, 2), spdInverse(indefinite, 2));
      await assert.rejects(invertLowerAsync(new Float64Array(4), 2), /the factor is singular/);
      await assert.rejects(choleskyAsync(new Float64Array(3), 2), /invalid a/);
    }),
  );

  it(
    "give the event loop its turn while a large matrix is worked on",
    using(backend, async () => {
      const n = 700;
      const a = randomSymmetric(n, 3);
      let turns = 0;
      let running = true;
      const count = () => {
        turns++;
        if (running) setImmediate(count);
      };
      setImmediate(count);
      await symmetricEigenAsync(a, n);
      running = false;
      assert.ok(turns > 3, `${turns} turns`);
    }),
  );
});

it("a small matrix is done at once: no turn of the event loop passes", async () => {
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  const a = identity(36);
  await choleskyAsync(a, 36);
  await dampedCholeskyAsync(a, 36, 1);
  assert.equal(turned, false);
});

it("both drivers make the calls an algorithm asks for, long ones on a thread", async () => {
  const made: string[] = [];
  const call = (work: number): NativeCall => ({
    work,
    run: () => void made.push(`run ${work}`),
    start: async () => void made.push(`start ${work}`),
  });
  function* algorithm(): Steps<string> {
    yield call(1);
    yield undefined;
    yield call(1e9);
    return "done";
  }
  assert.equal(finish(algorithm()), "done");
  assert.equal(await cooperate(algorithm()), "done");
  assert.deepEqual(made, ["run 1", "run 1000000000", "run 1", "start 1000000000"]);
});
