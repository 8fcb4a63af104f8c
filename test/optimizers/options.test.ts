/** Options are checked at the door: one line that says what is wrong and what would be right. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as library from "../../src/index.ts";
import { createOptimizer, findMethod, type Optimizer } from "../../src/index.ts";

import { isOneLine } from "../conformance/networks.ts";

const rate = { learningRate: 0.1 };
const schedule = (rest: object) => ({ learningRate: { initial: 0.1, ...rest } });
const marquardt = (rest: object) => ({
  ...rate,
  damping: { policy: "levenberg-marquardt", initial: 0.1, ...rest },
});

const badRates: [object, RegExp][] = [
  [{ learningRate: -1 }, /^invalid learningRate: -1 \(must be a number >= 0\)$/],
  [{ learningRate: Number.NaN }, /^invalid learningRate: NaN /],
  [{ learningRate: Number.POSITIVE_INFINITY }, /^invalid learningRate: Infinity /],
  [{ learningRate: "0.1" }, /^invalid learningRate: "0.1" \(must be a number >= 0 or \{ schedule, … \}\)$/],
  [{ learningRate: null }, /^invalid learningRate: null /],
  [
    schedule({ schedule: "cosine", steps: 5, finl: 0 }),
    /^learningRate has no option finl \(did you mean final\?\)$/,
  ],
  [schedule({ schedule: "linear" }), /^invalid learningRate schedule: "linear" \(must be exponential \| /],
  [schedule({ schedule: "exponential", decay: 0 }), /^invalid learningRate decay: 0 /],
  [schedule({ schedule: "exponential", decay: 1.5 }), /^invalid learningRate decay: 1.5 /],
  [schedule({ schedule: "exponential" }), /^invalid learningRate decay: undefined /],
  [schedule({ schedule: "exponential", decay: 0.5, every: -2 }), /^invalid learningRate every: -2 /],
  [schedule({ schedule: "exponential", decay: 0.5, initial: -1 }), /^invalid learningRate initial: -1 /],
  [
    schedule({ schedule: "exponential", decay: 0.5, initial: 1 / 0 }),
    /^invalid learningRate initial: Infinity /,
  ],
  [schedule({ schedule: "cosine" }), /^invalid learningRate steps: undefined /],
  [schedule({ schedule: "cosine", steps: 0 }), /^invalid learningRate steps: 0 /],
  [schedule({ schedule: "cosine", steps: 5, final: -1 }), /^invalid learningRate final: -1 /],
  [
    schedule({ schedule: "piecewise" }),
    /^invalid learningRate milestones: undefined \(must be a list of steps\)$/,
  ],
  [
    schedule({ schedule: "piecewise", milestones: [1], factor: Number.NaN }),
    /^invalid learningRate factor: NaN /,
  ],
  [schedule({ schedule: "warmup", steps: -1 }), /^invalid learningRate steps: -1 /],
  [schedule({ schedule: "warmup", steps: 3 }), /^invalid learningRate/],
];

const badMomentum: [object, RegExp][] = [
  [{ momentum: 1 }, /^invalid momentum: 1 \(must be in \[0, 1\)\)$/],
  [{ momentum: -0.1 }, /^invalid momentum: -0.1 /],
  [{ momentum: [0.5] }, /^invalid momentum: \[0.5\] /],
  [{ momentum: Number.NaN }, /^invalid momentum: NaN /],
  [{ momentum: 0, nesterov: true }, /^invalid nesterov: true \(must be false without momentum\)$/],
  [{ weightDecay: -1 }, /^invalid weightDecay: -1 /],
];

const badNatural: [object, RegExp][] = [
  ...badMomentum,
  [{ damping: -1 }, /^invalid damping: -1 \(must be >= 0/],
  [{ damping: Number.NaN }, /^invalid damping: NaN /],
  [{ damping: 1 / 0 }, /^invalid damping: Infinity /],
  [{ damping: "0.1" }, /^invalid damping: "0.1" \(must be a number > 0 or \{ policy, … \}\)$/],
  [{ damping: null }, /^invalid damping: null /],
  [marquardt({ evry: 1 }), /^damping has no option evry \(did you mean every\?\)$/],
  [
    { damping: { policy: "adaptive", initial: 1 } },
    /^invalid damping policy: "adaptive" \(must be constant \| levenberg-marquardt\)$/,
  ],
  [marquardt({ initial: 0 }), /^invalid damping: 0 \(must be > 0 for levenberg-marquardt\)$/],
  [marquardt({ every: 1.5 }), /^invalid damping every: 1.5 /],
  [marquardt({ factor: 1 }), /^invalid damping factor: 1 /],
  [marquardt({ minimum: 0 }), /^invalid damping minimum: 0 /],
  [marquardt({ minimum: 2, maximum: 1 }), /^invalid damping minimum: 2 /],
  [{ damping: 0, refreshEvery: 2 }, /^invalid damping: 0 \(must be > 0 with refreshEvery above 1/],
  [{ damping: 0, fisher: "monte-carlo" }, /^invalid damping: 0 /],
  [
    { fisher: "fischer" },
    /^invalid fisher: "fischer" \(must be empirical \| improved-empirical \| exact \| monte-carlo\)$/,
  ],
  [{ fisher: true }, /^invalid fisher: true /],
  [{ fisher: {} }, /^invalid fisher: \{\} /],
  [
    { fisher: { type: "monte-carlo", sample: 2 } },
    /^fisher has no option sample \(did you mean samples\?\)$/,
  ],
  [{ fisher: { type: "monte-carlo", samples: 0 } }, /^invalid fisher samples: 0 /],
  [{ fisher: { type: "monte-carlo", samples: 1.5 } }, /^invalid fisher samples: 1.5 /],
  [{ solver: "lu" }, /^invalid solver: "lu" \(must be auto \| gram \| dense \| cg\)$/],
  [{ solver: null }, /^invalid solver: null /],
  [{ solver: { type: "cg", tol: 1e-3 } }, /^solver has no option tol /],
  [{ solver: { type: "cg", iterations: "9" } }, /^invalid solver iterations: "9" \(must be > 0\)$/],
  [{ solver: { type: "cg", iterations: 0 } }, /^invalid solver iterations: 0 /],
  [{ solver: { type: "cg", tolerance: -1 } }, /^invalid solver tolerance: -1 /],
  [{ solver: { type: "cg", warmStart: 2 } }, /^invalid solver warmStart: 2 /],
  [{ refreshEvery: 0 }, /^invalid refreshEvery: 0 \(must be a positive integer\)$/],
  [{ refreshEvery: 2.5 }, /^invalid refreshEvery: 2.5 /],
  [{ klClip: 0 }, /^invalid klClip: 0 \(must be > 0\)$/],
  [{ stepRule: "newton" }, /^invalid stepRule: "newton" \(must be given \| quadratic-model\)$/],
  [{ stepRule: 1 }, /^invalid stepRule: 1 \(must be a rule or its options\)$/],
  [{ stepRule: null }, /^invalid stepRule: null /],
  [{ stepRule: { radius: 1 } }, /^invalid stepRule option: "radius" \(must be coefficients \| /],
  [{ stepRule: { rejectIncrease: 1 } }, /^invalid rejectIncrease: 1 \(must be true or false\)$/],
  [{ stepRule: { trustRegion: 0 } }, /^invalid trustRegion: 0 \(must be > 0\)$/],
  [{ stepRule: { trustRegion: null } }, /^invalid trustRegion: null /],
  [{ stepRule: { trustRegion: "0.1" } }, /^invalid trustRegion: "0.1" /],
  [
    { stepRule: { trustRegion: { initial: 1, maximm: 2 } } },
    /^trustRegion has no option maximm \(did you mean maximum\?\)$/,
  ],
  [{ stepRule: { trustRegion: {} } }, /^invalid trustRegion: undefined /],
  [{ stepRule: { trustRegion: { initial: 1, minimum: 2 } } }, /^invalid trustRegion minimum: 2 /],
  [{ stepRule: { trustRegion: { initial: 1, maximum: 0.5 } } }, /^invalid trustRegion maximum: 0.5 /],
  [
    { stepRule: "quadratic-model", momentum: 0.9, nesterov: true },
    /^invalid nesterov: true \(must be false with the quadratic model\)$/,
  ],
  [{ stepRule: { lineSearch: "wolfe" } }, /^invalid lineSearch: "wolfe" \(must be armijo \| strong-wolfe\)$/],
  [
    { stepRule: { lineSearch: "armijo", trustRegion: 1 } },
    /^invalid lineSearch: "armijo" \(must be left out with a trust region\)$/,
  ],
  [
    { stepRule: { lineSearch: "armijo" }, momentum: 0.9 },
    /^invalid momentum: 0.9 \(must be 0 with a line search, except by the quadratic model\)$/,
  ],
  [{ stepRule: { lineSearch: "armijo" }, momentum: 0, weightDecay: 0.1 }, /^invalid weightDecay: 0.1 /],
  [
    { stepRule: "quadratic-model", klClip: 0.1 },
    /^invalid klClip: 0.1 \(must be left out with the quadratic model: use trustRegion\)$/,
  ],
  [{ momentumRule: "nesterov" }, /^invalid momentumRule: "nesterov" \(must be heavy-ball \| spring\)$/],
];

const badAdaptive: [object, RegExp][] = [
  [{ beta1: 1 }, /^invalid beta1: 1 /],
  [{ beta2: -0.1 }, /^invalid beta2: -0.1 /],
  [{ epsilon: 0 }, /^invalid epsilon: 0 \(must be > 0\)$/],
  [{ weightDecay: Number.NaN }, /^invalid weightDecay: NaN /],
];

const badPeriods: [object, RegExp][] = [
  [{ refreshEvery: 0 }, /^invalid refreshEvery: 0 \(must be a positive integer\)$/],
  [{ maxDimension: 1.5 }, /^invalid maxDimension: 1.5 /],
];

const bad: Record<string, [object, RegExp][]> = {
  sgd: badMomentum,
  rmsprop: [[{ decay: 1 }, /^invalid decay: 1 /], ...badAdaptive.slice(2)],
  adam: badAdaptive,
  adamw: badAdaptive,
  lbfgs: [
    [{ memory: 0 }, /^invalid memory: 0 \(must be a positive integer\)$/],
    [{ memory: 2.5 }, /^invalid memory: 2.5 /],
    [{ lineSearch: "wolfe" }, /^invalid lineSearch: "wolfe" \(must be strong-wolfe \| armijo \| none\)$/],
    [{ powell: "yes" }, /^invalid powell: "yes" /],
  ],
  levenbergMarquardt: [
    [{ damping: 0 }, /^invalid damping: 0 \(must be a number > 0\)$/],
    [{ damping: "0.1" }, /^invalid damping: "0.1" /],
    [{ damping: marquardt({}).damping }, /^invalid damping: /],
    [{ scaling: "none" }, /^invalid scaling: "none" \(must be identity \| diagonal\)$/],
    [
      { adaptation: "nielsen" },
      /^invalid adaptation: "nielsen" \(must be gain-ratio \| delayed-gratification\)$/,
    ],
    [{ acceleration: -1 }, /^invalid acceleration: -1 \(must be >= 0; 0 for none\)$/],
    [{ acceleration: true }, /^invalid acceleration: true /],
    [{ retries: 1.5 }, /^invalid retries: 1.5 /],
    [{ solver: "cg" }, /^invalid solver: "cg" \(must be auto \| gram \| dense\)$/],
  ],
  muon: [
    ...badMomentum.filter(([given]) => !("nesterov" in given)),
    [{ nesterov: "yes" }, /^invalid nesterov: "yes" \(must be true or false\)$/],
    [{ iterations: 0 }, /^invalid iterations: 0 \(must be a positive integer\)$/],
    [{ scale: "max" }, /^invalid scale: "max" \(must be spectral \| rms\)$/],
    [{ matrices: "first" }, /^invalid matrices: "first" \(must be hidden \| all\)$/],
    [{ adamLearningRate: -1 }, /^invalid adamLearningRate: -1 /],
    [
      { adamLearningRate: { schedule: "cosine", initial: 1, steps: 0 } },
      /^invalid adamLearningRate steps: 0 /,
    ],
  ],
  shampoo: [
    ...badMomentum,
    ...badPeriods,
    [{ decay: 0 }, /^invalid decay: 0 \(must be in \(0, 1\]\)$/],
    [{ epsilon: 0 }, /^invalid epsilon: 0 \(must be > 0\)$/],
    [{ grafting: "adagrad" }, /^invalid grafting: "adagrad" \(must be none \| sgd \| adam\)$/],
  ],
  soap: [...badAdaptive, ...badPeriods, [{ oneSided: 1 }, /^invalid oneSided: 1 \(must be true or false\)$/]],
};

/** The methods' functions, as the library exports them. */
const functions = library as unknown as Record<string, (options?: object) => Optimizer>;

for (const { name, kind, options, defaults } of library.methods) {
  describe(name, () => {
    it("refuses every bad value in one line", () => {
      const values = kind === "natural" ? badNatural : bad[name];
      for (const [given, message] of [...badRates, ...values]) {
        if (!Object.keys(given).every((option) => options.includes(option))) continue;
        assert.throws(
          () => createOptimizer(name, given as never),
          (error: Error) => {
            assert.match(error.message, message, JSON.stringify(given));
            return isOneLine(error);
          },
        );
      }
    });

    it("names option and value where a number, a word or a switch is another word", () => {
      for (const option of options) {
        for (const value of ["big", "0.5"]) {
          assert.throws(
            () => functions[name]({ [option]: value }),
            (error: Error) => {
              assert.ok(error.message.startsWith(`invalid ${option}: "${value}" (must be `), error.message);
              return isOneLine(error);
            },
          );
        }
      }
    });

    it("takes its own defaults, by its own option names", () => {
      const optimizer = createOptimizer(name);
      assert.equal(optimizer.name, name);
      assert.deepEqual(optimizer.options, defaults);
      for (const key of Object.keys(defaults)) assert.ok(options.includes(key), key);
    });

    it("suggests the option that was meant", () => {
      assert.throws(() => createOptimizer(name, { learningrate: 1 }), {
        name: "UsageError",
        message: `${name} has no option learningrate (did you mean learningRate?)`,
      });
    });

    it("is a function that refuses every misspelt option and names the one that was meant", () => {
      for (const option of options) {
        const misspelt = `${option.slice(0, -2)}${option.at(-1)}`;
        assert.throws(
          () => functions[name]({ [misspelt]: undefined }),
          (error: Error) => {
            assert.equal(error.message, `${name} has no option ${misspelt} (did you mean ${option}?)`);
            return isOneLine(error);
          },
        );
      }
    });

    it("is a function that takes objects with more in them, options of other methods among it", () => {
      const more = {
        label: "of the user's own",
        piDamping: true,
        beta1: 0.9,
        powell: true,
        sigma: "identity",
      };
      const others = Object.entries(more).filter(([key]) => !options.includes(key));
      assert.equal(functions[name](Object.fromEntries(others)).name, name);
      assert.throws(() => createOptimizer(name, { label: 1 }), {
        message: `${name} has no option label (it takes ${options.join(", ")})`,
      });
    });

    it("takes undefined for any of its options", () => {
      const unset = Object.fromEntries(options.map((option) => [option, undefined]));
      assert.equal(functions[name](unset).name, name);
    });
  });
}

describe("findMethod", () => {
  it("finds names in any case", () => {
    assert.equal(findMethod("TENGraD").name, "tengrad");
  });

  it("suggests the method that was meant", () => {
    assert.throws(() => findMethod("adma"), { message: "unknown optimizer: adma (did you mean adam?)" });
    assert.throws(() => findMethod("x"), { message: /^unknown optimizer: x \(known: sgd, rmsprop, / });
  });
});
