/**
 * What Johnson's notes say of other parameters: the natural gradient's trajectory in function space stays the same when the
 * parameters are mapped linearly, K-FAC's under affine maps of each layer's inputs, gradient descent's does not; and the KL
 * divergence is ½ tᵀF t up to the third order [Johnson17 §2, §8, §B].
 *
 * The network is trained by the library itself twice: as it is, and with a fixed affine map before each dense layer (`fixed-affine.ts`),
 * which is an invertible linear map of its parameters.
 */
import { Random } from "../random.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { times } from "../theory/geometry.ts";
import { gaussianFamily, meanAndVariance, reparameterize } from "../theory/geometry-families.ts";
import { directionOf, orderOf, type Scaled, stepGaps } from "../theory/geometry-order.ts";
import type { ChartSeries, Experiment, ExperimentContext, ExperimentResult } from "./experiment.ts";
import { divergenceOrders } from "./network-divergence.ts";
import {
  compareTrajectories,
  invariantMethods,
  type Trajectories,
  trainedMethods,
} from "./two-parameterizations.ts";

/** Relative gap in function space up to which two trajectories are the same to rounding. */
const ROUNDING = 1e-10;

export const johnsonInvariance: Experiment = {
  id: "johnson-invariance",
  title: "The same network in two parameterizations",
  source: "Johnson 2017, Natural gradients and K-FAC (notes), sections 2 and 8, appendix B",
  summary:
    "Trains one network in two parameterizations by several methods and compares the functions; measures the orders of smallness of steps and of the KL divergence.",
  claims: [
    {
      id: "exact",
      claim:
        "The natural gradient's trajectory in function space is invariant to invertible linear maps of the parameters.",
      quick: true,
    },
    {
      id: "kfac",
      claim:
        "K-FAC's trajectory in function space is invariant to affine maps of each layer's input activations.",
      quick: true,
    },
    { id: "gradient", claim: "Gradient descent's trajectory is not invariant.", quick: true },
    {
      id: "first-order",
      claim:
        "Under any smooth reparameterization the natural gradient is the same tangent: steps of size η lead apart by O(η²), those of gradient descent by O(η).",
      quick: true,
    },
    { id: "divergence", claim: "KL(p_θ ‖ p_θ+t) = ½ tᵀF t + O(t³).", quick: true },
  ],
  duration: { full: "2 s", quick: "1 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, seed } = context;
  const steps = quick ? 8 : 30;
  const runtime = await openRuntime();
  try {
    const all: Trajectories[] = [];
    for (const [k, method] of trainedMethods.entries()) {
      await context.progress(k / (trainedMethods.length + 1), method.label);
      const trajectories = await compareTrajectories(runtime, method, { seed, steps });
      if (trajectories.stopped) context.note(`${method.label} ended early: ${trajectories.stopped}`);
      all.push(trajectories);
    }
    await context.progress(trainedMethods.length / (trainedMethods.length + 1), "KL divergence");
    const divergence = await divergenceOrders(runtime, seed, quick ? 5 : 12);
    const gaps = nonlinearGaps(seed);
    const gapOf = (label: string) => all.find((one) => one.label === label)!.gap;
    const invariant = Math.max(...invariantMethods.map(gapOf));
    return {
      values: {
        steps,
        trajectories: all.map(({ label, gap, losses, otherLosses }) => ({ label, gap, losses, otherLosses })),
        largestInvariantGap: invariant,
        ...gaps,
        divergence: divergence.checks,
        divergenceOrder: divergence.order,
      },
      charts: [lossChart(all), gapChart(gaps), divergenceChart(divergence)],
      tables: [gapTable(all, steps)],
      claims: [
        sameClaim("exact", all, "exactNgd"),
        sameClaim("kfac", all, "kfac"),
        {
          id: "gradient",
          measured: `After ${steps} steps of sgd the two functions differ by ${gapOf("sgd").toPrecision(2)} of their size.`,
          agrees: gapOf("sgd") > 1e-2,
        },
        {
          id: "first-order",
          measured: `From (μ, log σ) to (μ, σ²): natural gradient steps lead apart as η to the power ${gaps.naturalOrder.toFixed(3)}, gradient steps as η to the power ${gaps.gradientOrder.toFixed(3)}; the natural gradients' tangents differ by ${gaps.tangentGap.toExponential(1)}.`,
          agrees:
            Math.abs(gaps.naturalOrder - 2) < 0.1 &&
            Math.abs(gaps.gradientOrder - 1) < 0.1 &&
            gaps.tangentGap < 1e-12,
        },
        {
          id: "divergence",
          measured: `On a classifier of ${divergence.parameters} parameters |KL − ½ tᵀF t| falls as t to the power ${divergence.order.toFixed(3)}; at t = ${divergence.checks[0].scale} it is ${((100 * divergence.checks[0].size) / divergence.checks[0].divergence).toPrecision(2)} % of KL.`,
          agrees: Math.abs(divergence.order - 3) < 0.15,
        },
      ],
    };
  } finally {
    runtime.dispose();
  }
}

function sameClaim(id: string, all: readonly Trajectories[], label: string) {
  const { gap, losses, stopped } = all.find((one) => one.label === label)!;
  const end = stopped ? `, where a step was ${stopped}` : "";
  const measured = `After ${losses.length} steps of ${label} without damping the two functions differ by ${gap.toExponential(1)} of their size${end}.`;
  return { id, measured, agrees: gap < ROUNDING && stopped === undefined };
}

/** One step in (μ, log σ) and in (μ, σ²), from a point away from the optimum. */
function nonlinearGaps(seed: number) {
  const random = new Random(seed).fork("nonlinear");
  const family = gaussianFamily(Float64Array.from({ length: 100 }, () => 0.5 + 0.8 * random.normal()));
  const other = reparameterize(family, meanAndVariance);
  const theta = Float64Array.of(-0.6, 0.4);
  const scales = Array.from({ length: 7 }, (_, k) => 0.1 * 10 ** (-k / 3));
  const natural = stepGaps(family, other, meanAndVariance, theta, "natural", scales);
  const gradient = stepGaps(family, other, meanAndVariance, theta, "gradient", scales);
  const phi = meanAndVariance.fromOriginal(theta);
  const tangent = times(meanAndVariance.jacobian(phi), directionOf(other, phi, "natural"));
  const own = directionOf(family, theta, "natural");
  const tangentGap = Math.max(...tangent.map((value, k) => Math.abs(value - own[k])));
  return { natural, gradient, naturalOrder: orderOf(natural), gradientOrder: orderOf(gradient), tangentGap };
}

function lossChart(all: readonly Trajectories[]) {
  const shown = all.filter(({ drawn }) => drawn);
  const points = (losses: readonly number[]) => losses.map((y, x) => ({ x, y }));
  return {
    id: "losses",
    title: "Training loss in both parameterizations",
    note: "Lines: the network as it is. Symbols: with fixed affine maps before its layers; on the line where the method is invariant. Training starts near the network that made the targets: from PyTorch's initial weights undamped natural-gradient steps run off, and rounding errors with them (gaps up to 2e-3).",
    x: { label: "step", scale: "linear", integer: true },
    y: { label: "loss", scale: "log" },
    series: shown.map(({ label, losses, otherLosses }) => ({
      ...{ label, line: points(losses), points: points(otherLosses) },
    })),
  } as const;
}

function gapChart({
  natural,
  gradient,
}: {
  readonly natural: readonly Scaled[];
  readonly gradient: readonly Scaled[];
}) {
  const series = [
    { label: "natural gradient", points: natural, power: 2 },
    { label: "gradient", points: gradient, power: 1 },
  ];
  return {
    id: "steps",
    title: "How far one step leads apart",
    note: "√(2 KL) between the distributions reached in (μ, log σ) and in (μ, σ²); lines: η² and η.",
    x: { label: "η", scale: "log" },
    y: { label: "distance", scale: "log" },
    series: series.map(({ label, points, power }) => withPower(label, points, power)),
  } as const;
}

function divergenceChart({ checks }: { readonly checks: readonly Scaled[] }) {
  return {
    id: "divergence",
    title: "KL beside its quadratic approximation",
    note: "|KL − ½ tᵀF t| of a small classifier in a random direction; line: t³.",
    x: { label: "t", scale: "log" },
    y: { label: "difference", scale: "log" },
    series: [withPower("KL − ½ tᵀF t", checks, 3)],
  } as const;
}

/** The points, and a power of the scale through the smallest of them. */
function withPower(label: string, points: readonly Scaled[], power: number): ChartSeries {
  const { scale, size } = points.at(-1)!;
  return {
    label,
    points: points.map((point) => ({ x: point.scale, y: point.size })).reverse(),
    line: points.map((point) => ({ x: point.scale, y: size * (point.scale / scale) ** power })).reverse(),
  };
}

function gapTable(all: readonly Trajectories[], steps: number) {
  return {
    title: `Gap between the two functions after ${steps} steps, of their size`,
    headings: ["method", "gap", "loss as it is", "loss behind maps", "invariant in theory"],
    rows: all.map(({ label, gap, losses, otherLosses, invariant }) => [
      label,
      gap.toExponential(1),
      losses.at(-1)!.toExponential(3),
      otherLosses.at(-1)!.toExponential(3),
      invariant,
    ]),
  };
}
