/**
 * Table 1 of TENGraD: what the parts of natural gradient methods cost for one dense layer, counted in the computations that
 * natgrad compiles and set beside the formulas.
 *
 * The formulas are the leading terms that the literature gives for these methods, in the notation of docs/mathematics.md; the
 * paper's own is not copied.
 */
import { countOperations } from "../runtime/counting.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { type BlockCosts, countBlock, countedMethods, type LayerSize } from "./block-costs.ts";
import { countSteps } from "./counted-steps.ts";
import type { Experiment, ExperimentContext, ExperimentResult, Finding } from "./experiment.ts";
import { fitPowerLaw } from "./power-law.ts";

type Part = keyof BlockCosts;
const parts: readonly Part[] = ["factors", "inversion", "preconditioning"];

interface Formula {
  readonly text: string;
  /** Leading term, in multiply-adds. */
  value(size: LayerSize): number;
  /** Exponents in m and in d = d_in = d_out. */
  readonly m: number;
  readonly d: number;
}

const squares = ({ dIn, dOut }: LayerSize) => dIn ** 2 + dOut ** 2;
const ofCovariances: Formula = {
  ...{ text: "m (d_in² + d_out²)", m: 1, d: 2 },
  value: (size) => size.m * squares(size),
};
const ofFactors: Formula = {
  ...{ text: "d_in³ + d_out³", m: 0, d: 3 },
  value: ({ dIn, dOut }) => dIn ** 3 + dOut ** 3,
};
const ofProducts: Formula = {
  ...{ text: "d_in² d_out + d_in d_out²", m: 0, d: 3 },
  value: ({ dIn, dOut }) => dIn * dOut * (dIn + dOut),
};

const formulas: Readonly<Record<string, Readonly<Record<Part, Formula>>>> = {
  tengrad: {
    factors: {
      ...{ text: "m² (d_in + d_out)", m: 2, d: 1 },
      value: ({ m, dIn, dOut }) => m ** 2 * (dIn + dOut),
    },
    inversion: { text: "m³", m: 3, d: 0, value: ({ m }) => m ** 3 },
    preconditioning: {
      ...{ text: "m d_in d_out", m: 1, d: 2 },
      value: ({ m, dIn, dOut }) => m * dIn * dOut,
    },
  },
  kfac: { factors: ofCovariances, inversion: ofFactors, preconditioning: ofProducts },
  ekfac: { factors: ofCovariances, inversion: ofFactors, preconditioning: ofProducts },
  kbfgs: {
    factors: { text: "m d_in²", m: 1, d: 2, value: ({ m, dIn }) => m * dIn ** 2 },
    inversion: { text: "d_in² + d_out²", m: 0, d: 2, value: squares },
    preconditioning: ofProducts,
  },
};

/** How far a fitted exponent may be from the formula's: lower terms bend the lines. */
const TOLERANCE = 0.1;
/** Held while the other one varies; d is large, so that terms in m alone do not show. */
const HELD = { m: 128, d: 512 } as const;

const claimOf = (method: string, name: string) => {
  const { factors, inversion, preconditioning } = formulas[method];
  return {
    id: method,
    claim: `Per layer and step, ${name} takes O(${factors.text}) for its factors, O(${inversion.text}) for their inversion or update and O(${preconditioning.text}) to precondition the gradient.`,
    quick: true,
  };
};

export const tengradTable1: Experiment = {
  id: "tengrad-table1",
  title: "What the parts of a step cost, counted",
  source:
    "Soori et al. 2021, TENGraD, table 1; the formulas are the leading terms of the literature, in our notation",
  summary:
    "Counts the operations of each method's factors and preconditioning for one dense layer, takes n³ for each matrix of order n that it factorizes, fits the exponents in the batch m and the width d, and counts whole steps.",
  claims: [
    claimOf("tengrad", "TENGraD"),
    claimOf("kfac", "K-FAC"),
    claimOf("ekfac", "EKFAC"),
    claimOf("kbfgs", "K-BFGS"),
    {
      id: "cheaper",
      claim:
        "On layers wider than the batch, TENGraD's curvature costs less than K-FAC's and EKFAC's (in our words).",
      quick: true,
    },
  ],
  duration: { full: "30 s", quick: "6 s" },
  run,
};

interface Counted extends LayerSize {
  readonly costs: BlockCosts;
}

interface MethodCounts {
  readonly method: string;
  readonly overM: readonly Counted[];
  readonly overD: readonly Counted[];
}

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { quick } = context;
  const batches = quick ? [32, 128, 512] : [16, 32, 64, 128, 256, 512];
  const widths = quick ? [128, 512, 2048] : [64, 128, 256, 512, 1024, 2048, 4096];
  const all: MethodCounts[] = [];
  for (const [k, method] of countedMethods.entries()) {
    await context.progress((0.5 * k) / countedMethods.length, method);
    const counted = (size: LayerSize): Counted => ({ ...size, costs: countBlock(method, size) });
    const overM = batches.map((m) => counted({ m, dIn: HELD.d, dOut: HELD.d }));
    const overD = widths.map((d) => counted({ m: HELD.m, dIn: d, dOut: d }));
    all.push({ method, overM, overD });
  }
  const fits = all.flatMap((counts) => parts.map((part) => fitted(counts, part)));
  const steps = await wholeSteps(context);
  return {
    values: {
      held: HELD,
      blocks: all.map(({ method, overM, overD }) => ({ method, overM, overD })),
      fits,
      steps,
    },
    charts: [
      {
        id: "block",
        title: "Curvature of one dense layer",
        note: `Factors, inversion and preconditioning together, m = ${HELD.m}, d inputs and d outputs; lines are the formulas, each product and sum counted.`,
        x: { label: "d", scale: "log" },
        y: { label: "operations", scale: "log" },
        series: all.map(({ method, overD }) => ({
          label: method,
          points: overD.map(({ dIn, costs }) => ({ x: dIn, y: total(costs) })),
          line: overD.map((size) => ({ x: size.dIn, y: total(predicted(method, size)) })),
        })),
      },
      {
        id: "steps",
        title: "A whole step, counted as it runs",
        note: `Programs of a step of 16–d–d–10 on a batch of ${steps.batchSize}, SGD's beside; the host's factorizations are not in it. natgrad never forms what is larger than its factors.`,
        x: { label: "d", scale: "log" },
        y: { label: "operations", scale: "log" },
        series: steps.curves.map(({ method, points }) => ({ label: method, points })),
      },
    ],
    tables: [
      {
        title: `Exponents fitted, in brackets the formula's; d = ${HELD.d} while m varies, m = ${HELD.m} while d does`,
        headings: ["method and part", "formula", "in m", "in d", "counted / formula"],
        rows: fits.map(({ method, part, inM, inD, ratio }) => {
          const { text, m, d } = formulas[method][part];
          return [
            `${method}, ${nameOf(method, part)}`,
            text,
            `${inM.toFixed(2)} (${m})`,
            `${inD.toFixed(2)} (${d})`,
            `${ratio[0].toFixed(2)} to ${ratio[1].toFixed(2)}`,
          ];
        }),
      },
    ],
    claims: [...countedMethods.map((method) => judge(method, fits)), cheaper(all)],
  };
}

interface Fitted {
  readonly method: string;
  readonly part: Part;
  readonly inM: number;
  readonly inD: number;
  /** Least and largest of counted over formula. */
  readonly ratio: readonly [number, number];
}

function fitted({ method, overM, overD }: MethodCounts, part: Part): Fitted {
  const slope = (points: readonly { x: number; y: number }[]) => fitPowerLaw(points)!.exponent;
  const formula = formulas[method][part];
  const ratios = [...overM, ...overD].map((size) => size.costs[part] / formula.value(size));
  return {
    ...{ method, part },
    inM: slope(overM.map(({ m, costs }) => ({ x: m, y: costs[part] }))),
    inD: slope(overD.map(({ dIn, costs }) => ({ x: dIn, y: costs[part] }))),
    ratio: [Math.min(...ratios), Math.max(...ratios)],
  };
}

function judge(method: string, fits: readonly Fitted[]): Finding {
  const own = fits.filter((fit) => fit.method === method);
  const gaps = own.flatMap(({ part, inM, inD }) => {
    const { m, d } = formulas[method][part];
    return [Math.abs(inM - m), Math.abs(inD - d)];
  });
  const words = own.map(
    ({ part, inM, inD }) => `${nameOf(method, part)} as m^${inM.toFixed(2)} and d^${inD.toFixed(2)}`,
  );
  return {
    id: method,
    measured: `Counted: ${words.join(", ")}; at most ${Math.max(...gaps).toFixed(3)} from the formulas' exponents${method === "kbfgs" ? "" : "; inversions are n³ by the shapes of what is factorized"}.`,
    agrees: Math.max(...gaps) <= TOLERANCE,
  };
}

function cheaper(all: readonly MethodCounts[]): Finding {
  const of = (method: string) => all.find((one) => one.method === method)!.overD;
  const rows = of("tengrad").flatMap(({ dIn, m, costs }, k) => {
    if (dIn <= m) return [];
    return ["kfac", "ekfac"].map((other) => ({ dIn, ratio: total(of(other)[k].costs) / total(costs) }));
  });
  const [least, most] = [Math.min, Math.max].map((choose) => choose(...rows.map(({ ratio }) => ratio)));
  return {
    id: "cheaper",
    measured: `Theirs cost ${least.toFixed(1)} to ${most.toFixed(1)} times as much at m = ${HELD.m} and d = ${rows[0].dIn} to ${rows.at(-1)!.dIn}.`,
    agrees: least > 1,
  };
}

/** What the formulas say, multiply-adds being two operations; inversions are shown as n³. */
function predicted(method: string, size: LayerSize): BlockCosts {
  const { factors, inversion, preconditioning } = formulas[method];
  return {
    factors: 2 * factors.value(size),
    inversion: inversion.value(size),
    preconditioning: 2 * preconditioning.value(size),
  };
}

function total({ factors, inversion, preconditioning }: BlockCosts): number {
  return factors + inversion + preconditioning;
}

function nameOf(method: string, part: Part): string {
  return method === "kbfgs" && part === "inversion" ? "update" : part;
}

async function wholeSteps({ quick, seed, progress }: ExperimentContext) {
  const widths = quick ? [16, 64, 128] : [32, 64, 128, 256, 512, 768];
  const batchSize = quick ? 32 : 128;
  const methods = ["sgd", ...countedMethods];
  const own = await openRuntime();
  const { runtime, count } = countOperations(own);
  try {
    const curves: { method: string; points: { x: number; y: number }[] }[] = [];
    for (const [k, method] of methods.entries()) {
      const points: { x: number; y: number }[] = [];
      for (const [w, width] of widths.entries()) {
        await progress(0.5 + (0.5 * (k + w / widths.length)) / methods.length, `steps of ${method}`);
        points.push({
          x: width,
          y: await countSteps({ runtime, count }, { method, width, batchSize, seed }),
        });
      }
      curves.push({ method, points });
    }
    return { batchSize, curves };
  } finally {
    own.dispose();
  }
}
