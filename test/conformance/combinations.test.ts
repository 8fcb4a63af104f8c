/**
 * Free combination: every structure with every Fisher type, solver, damping policy and step rule that it takes.
 *
 * Not the product of all choices but every pair of them: a greedy covering, so that a new axis costs a few runs.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createOptimizer, type MethodInfo, methods } from "../../src/index.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { assertFinite, networkOf, randomBatch, solversOf, trainerOf } from "./networks.ts";

type Options = Readonly<Record<string, unknown>>;
/** The choices of one axis; `{}` leaves the method's default. */
type Axis = readonly Options[];

const STEPS = 5;

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime();
});
after(() => runtime.dispose());

const axes: readonly Axis[] = [
  ["exact", "empirical", "improved-empirical", { type: "monte-carlo", samples: 2 }].map((fisher) => ({
    fisher,
  })),
  [{ damping: 0.1 }, { damping: { policy: "levenberg-marquardt", initial: 0.1, every: 2 } }],
  [{ refreshEvery: 1 }, { refreshEvery: 3 }],
  [{}, { klClip: 1e-2 }],
  [{}, { momentum: 0.9 }, { momentum: 0.5, nesterov: true }],
  [{}, { weightDecay: 0.01 }],
  [{}, { stepRule: { rejectIncrease: true } }, { stepRule: { trustRegion: { initial: 0.05 } } }],
];

/** What excludes some of the choices above, with what is left of them. */
const exclusive: readonly [Options, (choice: Options) => boolean][] = [
  [
    { stepRule: "quadratic-model" },
    ({ klClip, nesterov, stepRule }) => klClip === undefined && !nesterov && stepRule === undefined,
  ],
  [
    { stepRule: { lineSearch: "armijo" }, momentum: 0 },
    ({ momentum, weightDecay, stepRule }) =>
      momentum === undefined && weightDecay === undefined && stepRule === undefined,
  ],
  [
    { momentumRule: "spring", momentum: 0.9 },
    ({ klClip, momentum, solver }) => klClip === undefined && momentum === undefined && solver !== "cg",
  ],
];

function axesOf({ name, options }: MethodInfo): Axis[] {
  const solvers = solversOf(name).map((solver) => ({ solver }));
  return [...axes, solvers]
    .map((axis) => axis.filter((choice) => Object.keys(choice).every((option) => options.includes(option))))
    .filter((axis) => axis.length > 1);
}

/** Rows that hold every pair of choices of two axes at least once. */
function pairwise(chosen: readonly Axis[]): Options[] {
  const pending = new Set<string>();
  const key = (a: number, i: number, b: number, j: number) => `${a}.${i} ${b}.${j}`;
  chosen.forEach((left, a) => {
    for (let b = a + 1; b < chosen.length; b++) {
      left.forEach((_, i) => {
        chosen[b].forEach((_, j) => {
          pending.add(key(a, i, b, j));
        });
      });
    }
  });
  const rows: Options[] = [];
  while (pending.size > 0) {
    const [first] = pending;
    const [[a, i], [b, j]] = first.split(" ").map((part) => part.split(".").map(Number));
    const picks = new Map([
      [a, i],
      [b, j],
    ]);
    chosen.forEach((axis, c) => {
      if (picks.has(c)) return;
      const gains = axis.map((_, k) => {
        return [...picks].filter(([d, l]) => pending.has(c < d ? key(c, k, d, l) : key(d, l, c, k))).length;
      });
      picks.set(c, gains.indexOf(Math.max(...gains)));
    });
    const sorted = [...picks].sort(([x], [y]) => x - y);
    for (const [c, k] of sorted) for (const [d, l] of sorted) if (c < d) pending.delete(key(c, k, d, l));
    rows.push(Object.assign({}, ...sorted.map(([c, k]) => chosen[c][k])));
  }
  return rows;
}

describe("the covering", () => {
  it("holds every pair", () => {
    const chosen = axesOf(methods.find(({ name }) => name === "exactNgd")!);
    const rows = pairwise(chosen).map((row) => JSON.stringify(row));
    const product = chosen.reduce((count, axis) => count * axis.length, 1);
    assert.ok(rows.length < product / 4, `${rows.length} rows of ${product}`);
    const part = (choice: Options) => JSON.stringify(choice).slice(1, -1);
    for (const [a, left] of chosen.entries()) {
      for (const right of chosen.slice(a + 1)) {
        for (const i of left) {
          for (const j of right) {
            assert.ok(rows.some((row) => row.includes(part(i)) && row.includes(part(j))));
          }
        }
      }
    }
  });
});

/** The covering of a method's axes, and those of the choices that exclude others. */
function rowsOf(method: MethodInfo): Options[] {
  const chosen = axesOf(method);
  const special = exclusive
    .filter(([options]) => Object.keys(options).every((option) => method.options.includes(option)))
    .flatMap(([options, goesWith]) => {
      const rest = chosen.map((axis) => axis.filter(goesWith)).filter((axis) => axis.length > 1);
      return pairwise(rest).map((row) => ({ ...row, ...options }));
    });
  return [...pairwise(chosen), ...special];
}

for (const method of methods.filter(({ kind }) => kind === "natural")) {
  describe(`${method.name} in free combination`, () => {
    for (const row of rowsOf(method)) {
      it(JSON.stringify(row), async () => {
        const network = networkOf({
          ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 8 },
          ...{ likelihood: "gaussian", seed: 3 },
        });
        const batch = randomBatch(network, 8, 4);
        const optimizer = createOptimizer(method.name, { learningRate: 0.05, ...row });
        const trainer = await trainerOf(runtime, network, optimizer);
        try {
          const { loss: first } = await trainer.evaluate(batch);
          for (let k = 0; k < STEPS; k++) {
            const { status, accepted } = await trainer.step(batch);
            assert.ok(accepted || /^rejected: the loss would rise/.test(status), status);
          }
          assertFinite(trainer.getParameters(), "parameters");
          const { loss: last } = await trainer.evaluate(batch);
          assert.ok(last < first, `the loss went from ${first} to ${last}`);
        } finally {
          trainer.dispose();
        }
      });
    }
  });
}
