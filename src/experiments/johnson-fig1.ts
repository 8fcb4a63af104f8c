/**
 * The picture that Johnson's notes "Natural gradients and K-FAC" begin with: steepest descent in Euclidean balls beside steepest
 * descent in balls of KL divergence, on models of two parameters. The pictures draw both balls and both directions; the claims are
 * tested on the balls themselves, not on their quadratic approximation.
 */
import { Random } from "../random.ts";
import { dot, steepestDescent, times } from "../theory/geometry.ts";
import {
  angleBetween,
  type BallName,
  ballAround,
  leastOnBoundary,
  walkBoundary,
} from "../theory/geometry-balls.ts";
import { type Family, gaussianFamily, logisticFamily } from "../theory/geometry-families.ts";
import { orderOf, plus, type Scaled } from "../theory/geometry-order.ts";
import type { Experiment, ExperimentContext, ExperimentPicture, ExperimentResult } from "./experiment.ts";

const IDENTITY = Float64Array.of(1, 0, 0, 1);
const balls: readonly BallName[] = ["kl", "euclidean"];
/** A ball smaller than this, and the least loss on its boundary is flat to rounding. */
const SMALLEST = 1e-7;

/** A model with the points where its balls are drawn. */
interface Scene {
  readonly id: string;
  readonly title: string;
  readonly family: Family;
  readonly points: readonly Float64Array[];
  /** ε of the balls drawn: KL in nats, and ½ of the squared radius. */
  readonly radius: Readonly<Record<BallName, number>>;
  readonly domain: readonly [x: readonly [number, number], y: readonly [number, number]];
}

export const johnsonFigure1: Experiment = {
  id: "johnson-fig1",
  title: "Steepest descent in two metrics",
  source: "Johnson 2017, Natural gradients and K-FAC (notes), figure 1",
  summary:
    "Draws Euclidean balls and balls of KL divergence with the steepest directions in both, and looks for the point of each ball where the loss is least.",
  claims: [
    {
      id: "kl-ball",
      claim:
        "Of all distributions within a KL divergence ε of the model, the loss is least along the natural gradient, −F⁻¹∇L, as ε → 0.",
      quick: true,
    },
    {
      id: "euclidean-ball",
      claim:
        "Of all parameters within a Euclidean distance, the loss is least along the gradient, −∇L, as it goes to 0.",
      quick: true,
    },
    {
      id: "same-divergence",
      claim:
        "At the same KL divergence from the model, the natural gradient's step lowers the loss more than the gradient's.",
      quick: true,
    },
  ],
  duration: { full: "7 s", quick: "3 s" },
  run,
};

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const scenes = makeScenes(context.seed);
  const radii = ladder(context.quick ? 4 : 9);
  const searches: (ReturnType<typeof search> & { readonly scene: Scene })[] = [];
  for (const [k, scene] of scenes.entries()) {
    await context.progress((k + 0.2) / (scenes.length + 1), scene.title);
    searches.push({ scene, ...search(scene, radii) });
  }
  await context.progress(scenes.length / (scenes.length + 1), "pictures");
  const pictures: ExperimentPicture[] = [];
  for (const scene of scenes) pictures.push(await draw(scene, context.quick ? 40 : 80));
  const angles = balls.map((ball) => ({ ball, ...judge(ball, searches) }));
  const decreases = searches.flatMap(({ decreases: own }) => own);
  const ratios = decreases.map(({ natural, gradient }) => natural / gradient);
  const [leastRatio, largestRatio] = [Math.min(...ratios), Math.max(...ratios)];
  return {
    values: {
      radii,
      scenes: searches.map(({ scene, ...found }) => ({ id: scene.id, ...found })),
      orders: Object.fromEntries(angles.map(({ ball, order }) => [ball, order])),
      leastRatio,
    },
    pictures,
    charts: [
      {
        id: "angles",
        title: "Best point of a ball beside steepest descent",
        note: "Angle between the two, largest over all points drawn, in coordinates in which the ball is round; lines: √ε.",
        x: { label: "ε", scale: "log" },
        y: { label: "angle", scale: "log" },
        series: angles.map(({ ball, largest }) => ({
          label: ball === "kl" ? "KL" : "Euclidean",
          points: largest.map(({ scale, size }) => ({ x: scale, y: size })).reverse(),
          line: rootLine(largest).reverse(),
        })),
      },
    ],
    tables: [
      {
        title: "Change of the loss in the first order of √ε, for steps of the same KL divergence",
        headings: ["model and point", "natural gradient", "gradient", "ratio"],
        rows: decreases.map(({ at, natural, gradient }) => [
          at,
          (-natural).toFixed(4),
          (-gradient).toFixed(4),
          (natural / gradient).toFixed(3),
        ]),
      },
    ],
    claims: [
      ...angles.map(({ ball, order, largest, agrees }) => ({
        id: `${ball}-ball`,
        measured: `The angle between them falls as ε to the power ${order.toFixed(3)} (theory: ½), to ${largest.at(-1)!.size.toExponential(1)} at ε = ${largest.at(-1)!.scale.toExponential(0)}.`,
        agrees,
      })),
      {
        id: "same-divergence",
        measured: `By ${leastRatio.toFixed(3)} to ${largestRatio.toFixed(3)} times as much at the ${decreases.length} points drawn, in the first order.`,
        agrees: leastRatio > 1,
      },
    ],
  };
}

/** Logistic regression on two inputs of correlation 0.9, and a normal distribution by mean and logarithm of the deviation. */
function makeScenes(seed: number): Scene[] {
  const random = new Random(seed).fork("johnson-fig1");
  const samples = 200;
  const inputs = new Float64Array(2 * samples);
  const targets = new Float64Array(samples);
  for (let n = 0; n < samples; n++) {
    const [common, first, second] = [random.normal(), random.normal(), random.normal()];
    inputs.set([0.95 * common + 0.31 * first, 0.95 * common + 0.31 * second], 2 * n);
    const logit = 1.5 * inputs[2 * n] - 0.5 * inputs[2 * n + 1];
    targets[n] = random.uniform() < 1 / (1 + Math.exp(-logit)) ? 1 : 0;
  }
  const data = Float64Array.from({ length: samples }, () => 0.5 + 0.8 * random.normal());
  return [
    {
      id: "logistic",
      title: "Logistic regression on two correlated inputs",
      family: logisticFamily(inputs, targets),
      points: [Float64Array.of(-1.6, 1.6), Float64Array.of(2.2, 1.8), Float64Array.of(-1.4, -1)],
      radius: { kl: 0.005, euclidean: 0.18 },
      domain: [
        [-2.6, 3.4],
        [-2.4, 2.9],
      ],
    },
    {
      id: "gaussian",
      title: "Normal distribution, by mean and log deviation",
      family: gaussianFamily(data),
      points: [Float64Array.of(-1.2, -0.9), Float64Array.of(-1, 0.6), Float64Array.of(1.9, -0.2)],
      radius: { kl: 0.06, euclidean: 0.045 },
      domain: [
        [-1.9, 2.6],
        [-1.5, 1.3],
      ],
    },
  ];
}

/** ε, from large to small, evenly on a logarithmic scale. */
function ladder(count: number): number[] {
  return Array.from({ length: count }, (_, k) => 1e-2 * (SMALLEST / 1e-2) ** (k / (count - 1)));
}

/** For every ball and radius the largest angle over the scene's points, and what steps of equal divergence bring. */
function search({ family, points, title }: Scene, radii: readonly number[]) {
  const angles = Object.fromEntries(
    balls.map((name) => {
      const largest = radii.map((radius): Scaled => {
        const own = points.map((theta) => {
          const metric = name === "kl" ? family.fisher(theta) : IDENTITY;
          const ball = ballAround(family, theta, name, radius);
          const { direction } = steepestDescent(metric, family.gradient(theta), radius);
          return angleBetween(leastOnBoundary(family, theta, ball).angle, ball.angleOf(direction));
        });
        return { scale: radius, size: Math.max(...own) };
      });
      return [name, largest];
    }),
  ) as Record<BallName, Scaled[]>;
  const decreases = points.map((theta) => {
    const [fisher, gradient] = [family.fisher(theta), family.gradient(theta)];
    const natural = -steepestDescent(fisher, gradient, 1).change;
    const length = Math.sqrt(dot(gradient, times(fisher, gradient)) / 2); // of −∇L to a divergence of 1
    const at = `${title}, ${family.names.map((name, k) => `${name} ${theta[k]}`).join(", ")}`;
    return { at, natural, gradient: dot(gradient, gradient) / length };
  });
  return { angles, decreases };
}

function judge(ball: BallName, searches: readonly { angles: Record<BallName, Scaled[]> }[]) {
  const all = searches.map(({ angles }) => angles[ball]);
  const largest = all[0].map(({ scale }, k) => ({ scale, size: Math.max(...all.map((one) => one[k].size)) }));
  const order = orderOf(largest);
  return { largest, order, agrees: Math.abs(order - 0.5) < 0.05 && largest.at(-1)!.size < 1e-2 };
}

/** √ε through the first of the points. */
function rootLine(points: readonly Scaled[]) {
  const [{ scale, size }] = points;
  return points.map((point) => ({ x: point.scale, y: size * Math.sqrt(point.scale / scale) }));
}

async function draw(
  { id, title, family, points, radius, domain }: Scene,
  grid: number,
): Promise<ExperimentPicture> {
  const { drawPlane } = await import("../report/plane.ts");
  const { pagePalette } = await import("../report/palette.ts");
  const [x, y] = domain;
  const values = new Float64Array(grid * grid);
  for (let k = 0; k < values.length; k++) {
    const [column, row] = [k % grid, Math.floor(k / grid)];
    const at = (range: readonly [number, number], step: number) =>
      range[0] + ((step + 0.5) / grid) * (range[1] - range[0]);
    values[k] = family.loss(Float64Array.of(at(x, column), at(y, row)));
  }
  const least = values.reduce((a, b) => Math.min(a, b));
  const levels = Array.from({ length: 14 }, (_, k) => least + 0.004 * 1.75 ** k);
  const pair = (theta: Float64Array) => [theta[0], theta[1]] as const;
  const drawn = points.flatMap((theta) =>
    balls.map((name, index) => {
      const boundary = walkBoundary(ballAround(family, theta, name, radius[name]), 96);
      const metric = name === "kl" ? family.fisher(theta) : IDENTITY;
      const { direction } = steepestDescent(metric, family.gradient(theta), radius[name]);
      const curve = Array.from(
        { length: boundary.length / 2 },
        (_, k) => [theta[0] + boundary[2 * k], theta[1] + boundary[2 * k + 1]] as const,
      );
      return { curve, index, from: pair(theta), to: pair(plus(theta, direction)) };
    }),
  );
  const svg = drawPlane({
    ...{ id: `johnson-fig1-${id}`, title, palette: pagePalette, width: 420 },
    description: `Contours of the loss; at ${points.length} points a ball of KL divergence and a Euclidean ball, with the steepest direction in each.`,
    x: { label: family.names[0], domain: x },
    y: { label: family.names[1], domain: y },
    contours: { columns: grid, rows: grid, values, levels },
    curves: drawn.map(({ curve, index }) => ({ points: curve, index })),
    arrows: drawn.map(({ from, to, index }) => ({ from, to, index })),
    dots: points.map(pair),
    legend: [
      { label: `KL ball, ε = ${radius.kl}; natural gradient`, index: 0 },
      { label: `Euclidean ball, ε = ${radius.euclidean}; gradient`, index: 1 },
    ],
  });
  const note = "Gray: the loss. The arrows go to where the linear model of the loss is least in the ball.";
  return { id, title, note, svg };
}
