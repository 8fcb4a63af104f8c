/**
 * Block tri-diagonal natural gradient of networks of 3, 4 and 5 layers [Karakida20, fig. 1b and Lemma 4.3].
 *
 * Σ, ones for neighbouring layers, is invertible with L = 3s layers, where α = 1ᵀΣ⁻¹1 = s, and with L = 3s + 1, where α = s + 1; with
 * L = 3s + 2 it is singular. The paper shows training explode there; its published code, which solves with Σ as it is, stops with an error at
 * these depths. Here training does not explode, for a reason that can be seen: the null vector
 * v = (1, −1, 0, 1, −1) has 1ᵀv = 0. So 1 lies in the range of Σ; every solution w of Σw = 1 has the same sum, α = wᵀΣw = s + 1, and
 * as λ → 0 the damped system
 *
 *   ((Σ ⊗ I) blockdiag(K_l) + λI) u = 1 ⊗ r
 *
 * has a limit among them. (With L = 2 the block tri-diagonal Fisher is the exact one, and Σ = 11ᵀ singular all the same.) Without any damping
 * the solution is not unique and what rounding makes of it depends on how the system is solved: the library refuses it.
 *
 * | symbol | variable        |
 * | ------ | --------------- |
 * | L      | `depth`         |
 * | α      | `factor`        |
 * | c = αη | `FRACTION`      |
 * | λ      | `damping`       |
 */
import { UsageError } from "../errors.ts";
import { blockTridiagonalNgd } from "../optimizers/index.ts";
import { openRuntime } from "../runtime/runtime.ts";
import type { Runtime } from "../runtime/session.ts";
import { isotropyFactor } from "../theory/index.ts";
import { type ClassSubset, loadSubset, syntheticClasses } from "./class-subset.ts";
import type { Experiment, ExperimentContext, ExperimentResult } from "./experiment.ts";
import { largestGap, reluNetwork, trainWide } from "./wide-training.ts";

const FRACTION = 0.25;
/** From below ½ to below 1e-4. */
const STEPS = 15;
const LEAST_LOSS = 1e-4;
const FULL_GAP = 0.1;
const QUICK_GAP = 0.4;
/** λ of five layers; the least is nothing beside any number of the system. */
const DAMPINGS = [1e-6, 1e-12, 1e-300];

interface Run {
  readonly label: string;
  readonly depth: number;
  readonly damping: number;
  readonly factor: number;
  readonly losses: readonly number[];
  /** L_0 (1 − αη)²ᵗ. */
  readonly predicted: readonly number[];
  readonly gap: number;
}

export const karakidaFigure1b: Experiment = {
  id: "karakida-fig1b",
  title: "Block tri-diagonal natural gradient and the number of layers",
  source: "Karakida & Osawa 2020, Understanding approximate Fisher information …, figure 1b, Lemma 4.3",
  summary:
    "Trains networks of 3, 4 and 5 layers and width 4096 by block tri-diagonal natural gradient; with 5 layers with ever less damping.",
  claims: [
    {
      id: "converges",
      claim: "With 3 and 4 layers the loss converges as (1 − αη)²ᵗ says, α = 1 and 2.",
      quick: true,
    },
    {
      id: "singular",
      claim: "With 5 = 3s + 2 layers Σ is singular, and the block tri-diagonal Fisher matrix has no inverse.",
      quick: true,
    },
    { id: "explodes", claim: "With 5 layers training explodes.", quick: false },
  ],
  data: { datasets: ["mnist"], synthetic: syntheticClasses },
  duration: { full: "2 min", quick: "3 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, seed, progress } = context;
  const [samples, width, limit] = quick ? [30, 256, QUICK_GAP] : [100, 4096, FULL_GAP];
  await progress(0, "data");
  const request = { dataset: "mnist", classes: [0, 7], training: samples, test: 20 };
  const subset = await loadSubset({ ...request, squaredLength: "features" }, context);
  const planned = [
    { depth: 3, damping: 0 },
    { depth: 4, damping: 0 },
    ...(quick ? DAMPINGS.slice(1, 2) : DAMPINGS).map((damping) => ({ depth: 5, damping })),
  ];
  const runtime = await openRuntime();
  try {
    const refusal = await refusalOf(subset, { seed, runtime });
    const runs: Run[] = [];
    for (const [k, { depth, damping }] of planned.entries()) {
      const text = damping > 0 ? `${depth} layers, λ = ${damping.toExponential(0)}` : `${depth} layers`;
      const onStep = (step: number) => progress((k + step / (STEPS + 1)) / planned.length, text);
      await onStep(0);
      runs.push(await train(subset, { depth, damping, width, seed, runtime, onStep }));
    }
    return conclude(runs, { width, samples, limit, refusal });
  } finally {
    runtime.dispose();
  }
}

interface Training {
  readonly depth: number;
  readonly damping: number;
  readonly width: number;
  readonly seed: number;
  readonly runtime: Runtime;
  onStep(step: number): Promise<void>;
}

async function train(subset: ClassSubset, { depth, damping, ...rest }: Training): Promise<Run> {
  const factor = depth % 3 === 2 ? (depth + 1) / 3 : isotropyFactor("tridiagonal", depth);
  const { losses } = await trainWide(subset, {
    ...{ ...rest, network: reluNetwork(depth), steps: STEPS, dtype: "float32" },
    optimizer: blockTridiagonalNgd({ learningRate: FRACTION / factor, damping }),
  });
  const predicted = losses.map((_, step) => losses[0] * (1 - FRACTION) ** (2 * step));
  const label = damping > 0 ? `L = ${depth}, λ = ${damping.toExponential(0)}` : `L = ${depth}`;
  return { label, depth, damping, factor, losses, predicted, gap: largestGap(losses, predicted, LEAST_LOSS) };
}

/** What the library says to five layers without damping; nothing where it takes them. */
async function refusalOf(
  subset: ClassSubset,
  setting: Pick<Training, "seed" | "runtime">,
): Promise<string | undefined> {
  const optimizer = blockTridiagonalNgd({ learningRate: FRACTION, damping: 0 });
  try {
    await trainWide(subset, { ...setting, network: reluNetwork(5), width: 8, steps: 1, optimizer });
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

function conclude(
  runs: readonly Run[],
  {
    width,
    samples,
    limit,
    refusal,
  }: {
    readonly width: number;
    readonly samples: number;
    readonly limit: number;
    readonly refusal: string | undefined;
  },
): ExperimentResult {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const invertible = runs.filter(({ depth }) => depth < 5);
  const singular = runs.filter(({ depth }) => depth === 5);
  const worst = singular.reduce((a, b) => (b.losses.at(-1)! > a.losses.at(-1)! ? b : a));
  const points = (losses: readonly number[]) => losses.map((y, x) => ({ x, y }));
  return {
    values: { width, samples, fraction: FRACTION, limit, refusal: refusal ?? "none", runs },
    charts: [
      {
        id: "loss",
        title: "Training loss with 3, 4 and 5 layers",
        note: `Lines: what (1 − αη)²ᵗ makes of the first loss, αη = ${FRACTION}. Symbols: networks of width ${width}. Five layers with α = 2 and damping.`,
        x: { label: "step", scale: "linear", integer: true },
        y: { label: "loss", scale: "log" },
        series: runs.map(({ label, losses, predicted }) => ({
          ...{ label, line: points(predicted), points: points(losses) },
        })),
      },
    ],
    tables: [
      {
        title: `Width ${width}, ${samples} samples, after ${STEPS} steps`,
        headings: ["network", "α", "first loss", "last loss", "predicted", "largest gap"],
        rows: runs.map(({ label, factor, losses, predicted, gap }) => [
          label,
          String(factor),
          losses[0].toExponential(2),
          losses.at(-1)!.toExponential(2),
          predicted.at(-1)!.toExponential(2),
          percent(gap),
        ]),
      },
    ],
    claims: [
      {
        id: "converges",
        measured: `${invertible.map(({ label, factor, gap }) => `${label}, α = ${factor}: within ${percent(gap)}`).join("; ")} of it while it is above ${LEAST_LOSS}, at width ${width} (agreement: ${100 * limit} %).`,
        agrees: invertible.every(({ gap }) => gap < limit),
      },
      {
        id: "singular",
        measured: refusal
          ? `The library refuses it: “${refusal}”.`
          : "The library takes 5 layers without damping.",
        agrees: refusal?.includes("Lemma 4.3") ?? false,
      },
      {
        id: "explodes",
        measured: `It does not here: with ${singular.map(({ damping }) => `λ = ${damping.toExponential(0)}`).join(", ")} the loss falls from ${worst.losses[0].toExponential(1)} to ${worst.losses.at(-1)!.toExponential(1)} or less, as α = 2 says, within ${percent(Math.max(...singular.map(({ gap }) => gap)))}: (1, 1, 1, 1, 1) lies in the range of the singular Σ, so that the damped step has a limit. Without damping the step is not determined.`,
        agrees: !(worst.losses.at(-1)! < worst.losses[0]),
      },
    ],
  };
}
