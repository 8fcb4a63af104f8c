/**
 * Figure 5 of the survey: how the cost of a step grows with the network. It is the measurement of `natgrad bench growth`: every
 * point in a process of its own, what would take too long or too much memory left out and said so. The quick version starts no
 * processes: it counts operations alone, on small networks.
 */

import { countOperations } from "../runtime/counting.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { countSteps, DEPTH } from "./counted-steps.ts";
import type {
  ChartSeries,
  Experiment,
  ExperimentChart,
  ExperimentContext,
  ExperimentResult,
  ExperimentTable,
  Finding,
} from "./experiment.ts";
import { countPoints, type GrowthSweep, measureGrowth } from "./growth.ts";
import type { GrowthAxis, GrowthPlan, LeftOut } from "./growth-curve.ts";
import { growthMethods } from "./growth-methods.ts";
import { fitPowerLaw, type PowerLaw, upperPart } from "./power-law.ts";

type Cost = "operations" | "time" | "memory";

const costs: readonly { readonly cost: Cost; readonly label: string }[] = [
  { cost: "operations", label: "operations" },
  { cost: "time", label: "seconds per step" },
  { cost: "memory", label: "bytes" },
];

/** One method along one axis. */
interface Curve {
  readonly method: string;
  readonly points: readonly ({ readonly x: number } & Partial<Record<Cost, number>>)[];
  readonly leftOut: readonly LeftOut[];
  readonly laws: Partial<Record<Cost, PowerLaw>>;
}

interface Sweep extends Omit<GrowthSweep, "curves"> {
  readonly curves: readonly Curve[];
}

/** The forms that keep matrices of the parameters, all of them or a layer's, and the approximations that are to scale. */
const DENSE: readonly string[] = ["exact-dense", "blockwise-dense"];
const SCALABLE = ["tengrad", "kfac"] as const;

const BATCH = 128;
const fullPlan = {
  ...{ methods: growthMethods, batchSize: BATCH, seconds: 0.3, timeLimit: 20, memoryLimit: 4 * 2 ** 30 },
  ...{ widths: [16, 32, 64, 128, 256, 512], depths: [1, 2, 3, 4, 6, 8] },
};
const quickWidths = [8, 16, 32];

export const shresthaFigure5: Experiment = {
  id: "shrestha-fig5",
  title: "Scalability: how the cost of a step grows",
  source: "Shrestha 2023, Natural Gradient Methods, figure 5; claims in our words",
  summary:
    "Measures operations, time and memory of a step of SGD and seven forms of natural gradient while the network becomes wider and deeper, and fits exponents.",
  claims: [
    {
      id: "dense",
      claim:
        "Natural gradient with a Fisher matrix of all parameters, or of each layer's, grows faster with the width in operations than SGD and all approximations.",
      quick: true,
    },
    {
      id: "scalable",
      claim: "TENGraD's and K-FAC's operations grow with the width by at most one power more than SGD's.",
      quick: true,
    },
    {
      id: "time",
      claim: "Natural gradient with such matrices grows fastest in time, too.",
      quick: false,
    },
  ],
  duration: { full: "2 min", quick: "8 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const sweeps = context.quick ? [await count(context)] : await measure(context);
  return {
    values: { batchSize: BATCH, sweeps },
    charts: sweeps.flatMap(chartsOf),
    tables: sweeps.map(exponentTable),
    claims: judge(sweeps[0], context.quick),
  };
}

/** Operations by width, in this process. */
async function count({ seed, progress }: ExperimentContext): Promise<Sweep> {
  const own = await openRuntime();
  const counting = countOperations(own);
  try {
    const curves: Curve[] = [];
    for (const [k, method] of growthMethods.entries()) {
      const points: { x: number; operations: number }[] = [];
      for (const [w, width] of quickWidths.entries()) {
        await progress((k + w / quickWidths.length) / growthMethods.length, `${method}, width ${width}`);
        const request = { method, width, batchSize: BATCH, seed };
        points.push({ x: width, operations: await countSteps(counting, request) });
      }
      const law = fitPowerLaw(upperPart(points.map(({ x, operations }) => ({ x, y: operations }))));
      curves.push({ method, points, leftOut: [], laws: { operations: law } });
    }
    return { axis: "width", sizes: quickWidths, fixed: `${DEPTH} hidden layers`, curves };
  } finally {
    own.dispose();
  }
}

async function measure({ seed, signal, progress }: ExperimentContext): Promise<Sweep[]> {
  const plan: GrowthPlan = { ...fullPlan, seed };
  const all = countPoints(plan);
  let done = 0;
  const report = (axis: GrowthAxis, method: string, { x }: { readonly x: number }) => {
    void progress(++done / all, `${method}, ${axis} ${x}`).catch(() => {}); // the measurement heeds the signal
  };
  await progress(0, "the first networks");
  const sweeps = await measureGrowth(plan, { signal, onPoint: report, onLeftOut: report });
  signal.throwIfAborted();
  return sweeps.map((sweep) => ({
    ...sweep,
    curves: sweep.curves.map(({ method, points, leftOut, ...laws }) => ({
      ...{ method, leftOut, laws },
      points: points.map(({ x, flops, secondsPerStep, peakBytes }) => {
        return { x, operations: flops, time: secondsPerStep, memory: peakBytes };
      }),
    })),
  }));
}

function chartsOf({ axis, fixed, curves }: Sweep): ExperimentChart[] {
  return costs.flatMap(({ cost, label }): ExperimentChart[] => {
    const series = curves
      .map((curve) => seriesOf(curve, cost))
      .filter(({ points = [] }) => points.length > 0);
    if (series.length === 0) return [];
    const uncounted = cost === "operations" ? " The host's factorizations are not counted." : "";
    return [
      {
        id: `${cost}-${axis}`,
        title: `${label[0].toUpperCase()}${label.slice(1)} by ${axis}`,
        note: `${fixed}, batches of ${BATCH}; points are measured, lines are the power laws fitted to the larger networks.${uncounted}`,
        x: { label: axis, scale: "log" },
        y: { label, scale: "log" },
        series,
      },
    ];
  });
}

function seriesOf({ method, points, laws }: Curve, cost: Cost): ChartSeries {
  const law = laws[cost];
  const line = law && [law.from, law.to].map((x) => ({ x, y: law.factor * x ** law.exponent }));
  const index = growthMethods.indexOf(method);
  const measured = points.flatMap(({ x, [cost]: y = 0 }) => (y > 0 ? [{ x, y }] : []));
  return { label: method, index, points: measured, ...(line && { line }) };
}

function exponentTable({ axis, fixed, curves }: Sweep): ExperimentTable {
  const show = (law: PowerLaw | undefined) =>
    law ? `${law.exponent.toFixed(2)} ± ${law.standardError.toFixed(2)}` : "–";
  return {
    title: `Exponents in the ${axis}, ${fixed}, of the larger networks`,
    headings: ["method", ...costs.map(({ cost }) => cost), "largest measured", "left out"],
    rows: curves.map(({ method, laws, points, leftOut }) => [
      method,
      ...costs.map(({ cost }) => show(laws[cost])),
      String(points.at(-1)?.x ?? "–"),
      leftOut.map(({ x, reason }) => `${x}: ${reason}`).join("; ") || "nothing",
    ]),
  };
}

function judge({ curves }: Sweep, quick: boolean): Finding[] {
  const exponent = (method: string, cost: Cost) =>
    curves.find((curve) => curve.method === method)?.laws[cost]?.exponent ?? Number.NEGATIVE_INFINITY;
  const fastest = (cost: Cost): Pick<Finding, "measured" | "agrees"> => {
    const fitted = curves.filter((curve) => curve.laws[cost] !== undefined);
    const sorted = fitted.toSorted((a, b) => b.laws[cost]!.exponent - a.laws[cost]!.exponent);
    const words = sorted.map(({ method }) => `${method} ${exponent(method, cost).toFixed(2)}`);
    return {
      measured: `Exponents of the width: ${words.join(", ")}.`,
      agrees: sorted.slice(0, DENSE.length).every(({ method }) => DENSE.includes(method)),
    };
  };
  const excess = SCALABLE.map((method) => exponent(method, "operations") - exponent("sgd", "operations"));
  return [
    { id: "dense", ...fastest("operations") },
    {
      id: "scalable",
      measured: `${SCALABLE.map((method, k) => `${method}'s exponent is SGD's ${excess[k] < 0 ? "−" : "+"} ${Math.abs(excess[k]).toFixed(2)}`).join(", ")}.`,
      agrees: excess.every((power) => Number.isFinite(power) && power <= 1.1),
    },
    ...(quick ? [] : [{ id: "time", ...fastest("time") }]),
  ];
}
