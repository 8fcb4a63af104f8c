/**
 * Figures 6 to 8 of TENGraD: what the inverse of a layer's block looks like, exact and as each method has it.
 *
 * The paper draws blocks of its own convolutional networks. Here they are three small dense networks, whose blocks can be inverted
 * whole: a shallow one, a deep one and a wide one. The inverses are those of `natgrad inspect`, column by column in float64, all
 * of the same batch, the same Fisher type and the same damping.
 */
import { loadDataset } from "../data/index.ts";
import { inspect } from "../inspect/inspect.ts";
import type { Inspection, LayerInspection } from "../inspect/inspection.ts";
import { avgPool, dense, flatten, sequential, tanh } from "../nn/index.ts";
import { createOptimizer } from "../optimizers/registry.ts";
import { createTrainer } from "../training/create-trainer.ts";
import type { TrainerConfig } from "../training/trainer-config.ts";
import type { Experiment, ExperimentContext, ExperimentPicture, ExperimentResult } from "./experiment.ts";
import { likelihoodOf, outputsOf } from "./train-beside.ts";

interface Network {
  readonly id: string;
  readonly figure: number;
  readonly title: string;
  /** In words, for the summary. */
  readonly about: string;
  readonly hidden: readonly number[];
}

const networks: readonly Network[] = [
  {
    ...{ id: "tengrad-fig6", figure: 6, title: "Inverse blocks of a shallow network", hidden: [10] },
    about: "one hidden layer of 10 units",
  },
  {
    ...{ id: "tengrad-fig7", figure: 7, title: "Inverse blocks of a deep network", hidden: [10, 10, 10] },
    about: "three hidden layers of 10 units",
  },
  {
    ...{ id: "tengrad-fig8", figure: 8, title: "Inverse blocks of a wide network", hidden: [24, 24] },
    about: "two hidden layers of 24 units",
  },
];

/** Compared with the exact inverse; the first is the one that must equal it. */
const METHODS = ["tengrad", "kfac", "ekfac"] as const;
const DAMPING = 0.01;
const BATCH = 64;
/** Two inverses are the same matrix to rounding up to this relative distance, as `natgrad inspect` has it. */
const ROUNDING = 1e-6;

export const tengradInverses: readonly Experiment[] = networks.map((network) => ({
  id: network.id,
  title: network.title,
  source: `Soori et al. 2021, TENGraD, figure ${network.figure}, on a dense network of ours in place of the paper's convolutional one`,
  summary: `Trains ${network.about} for a while and compares the inverse of each layer's damped empirical Fisher block with what TENGraD, K-FAC and EKFAC take for it.`,
  claims: [
    {
      id: "exact",
      claim: "TENGraD inverts each block of the empirical Fisher matrix exactly.",
      quick: true,
    },
    {
      id: "kfac",
      claim: "K-FAC's inverse is farther from the exact one than TENGraD's, in every layer.",
      quick: true,
    },
    {
      id: "ekfac",
      claim: "EKFAC's inverse is farther from the exact one than TENGraD's, in every layer.",
      quick: true,
    },
  ],
  data: { datasets: ["mnist"], synthetic: "glyphs of 8 by 8 pixels" },
  duration: { full: "30 s", quick: "5 s" },
  run: (context) => run(network, context),
}));

async function run(network: Network, context: ExperimentContext): Promise<ExperimentResult> {
  const { quick, synthetic, seed } = context;
  const found = await look(network, context);
  const layers = found.layers.map((layer, l) => ({
    ...{ name: `layer ${l + 1}`, units: layer.units, width: layer.width, window: layer.window },
    distances: Object.fromEntries(METHODS.map((method) => [method, distance(layer, method)])),
  }));
  const spread = (method: string) => {
    const own = layers.map(({ distances }) => distances[method]);
    return { least: Math.min(...own), most: Math.max(...own) };
  };
  const far = (method: "kfac" | "ekfac") => {
    const { least, most } = spread(method);
    return {
      id: method,
      measured: `Its relative Frobenius distance is ${least.toFixed(3)} to ${most.toFixed(3)} over the ${layers.length} layers, TENGraD's at most ${ROUNDING.toExponential(0)}.`,
      agrees: least > ROUNDING && spread("tengrad").most <= ROUNDING,
    };
  };
  return {
    values: { quick, synthetic, seed, hidden: network.hidden, damping: found.damping, layers },
    pictures: [await draw(network, found)],
    tables: [
      {
        title: `Relative Frobenius distance to the exact inverse, damping ${found.damping}, ${found.samples} samples`,
        headings: ["layer", "outputs × inputs", "part compared", ...METHODS],
        rows: layers.map(({ name, units, width, window, distances }) => [
          name,
          `${units} × ${width}`,
          window === units * width ? "all" : `the first ${window} parameters`,
          ...METHODS.map((method) =>
            distances[method] === 0 ? "rounding" : distances[method].toPrecision(3),
          ),
        ]),
      },
    ],
    claims: [
      {
        id: "exact",
        measured: `In ${layers.filter(({ distances }) => distances.tengrad === 0).length} of ${layers.length} layers the relative Frobenius distance is below ${ROUNDING.toExponential(0)}.`,
        agrees: spread("tengrad").most === 0,
      },
      far("kfac"),
      far("ekfac"),
    ],
  };
}

/** Trains by SGD, which brings no inverse of its own, then inspects the layers' blocks at the parameters reached. */
async function look({ hidden }: Network, context: ExperimentContext): Promise<Inspection> {
  const { quick, synthetic, seed, signal, progress } = context;
  const rows = quick ? 640 : 6400;
  await progress(0.02, "data");
  const { training } = await loadDataset(synthetic ? "glyphs" : "mnist", { rows });
  const config: TrainerConfig = {
    // Pictures of 7 × 7 pixels, or of 4 × 4: small enough for blocks that are inverted whole.
    model: sequential([
      avgPool(synthetic ? 2 : quick ? 7 : 4),
      flatten(),
      ...hidden.flatMap((units) => [dense(units), tanh()]),
      dense(outputsOf(training)),
    ]),
    ...{ inputShape: training.inputs.shape.slice(1), likelihood: likelihoodOf(training) },
    ...{ optimizer: createOptimizer("sgd", { learningRate: 0.1 }), batchSize: BATCH, seed },
  };
  const trainer = await createTrainer(config);
  try {
    for await (const { epoch } of trainer.fit(training, { epochs: 2, signal })) {
      await progress(0.1 + 0.05 * epoch, "training");
    }
    signal.throwIfAborted();
    let furthest = 0.3;
    return await inspect(trainer.toBytes(), config, training, {
      ...{ samples: quick ? 32 : 128, seed, fisher: "empirical", damping: DAMPING, methods: METHODS },
      onProgress(fraction, text) {
        signal.throwIfAborted();
        furthest = Math.max(furthest, 0.3 + 0.6 * fraction); // parts of an inspection may be estimated anew
        void progress(furthest, text).catch(() => {}); // an abort is thrown above
      },
    });
  } finally {
    trainer.dispose();
  }
}

/** ‖X − E‖ / ‖E‖; 0 where it is rounding. */
function distance({ same, approximations, name }: LayerInspection, method: string): number {
  if (same.includes(method)) return 0;
  const found = approximations.find(({ names }) => names.includes(method));
  if (!found) throw new Error(`layer ${name} has no inverse of ${method}`);
  return found.error;
}

async function draw({ id, title, about }: Network, { layers }: Inspection): Promise<ExperimentPicture> {
  const { drawHeatMapGrid } = await import("../report/heat-map-grid.ts");
  const { pagePalette } = await import("../report/palette.ts");
  const svg = drawHeatMapGrid({
    ...{ id: `${id}-inverses`, title, palette: pagePalette },
    description: `Absolute values of the inverses of the blocks of ${about}, exact and by methods.`,
    rows: layers.map(({ units, width, window, exact, same, approximations }, l) => ({
      title: `layer ${l + 1}: ${units} outputs of ${width} inputs, the bias's included`,
      order: window,
      maps: [
        { title: "exact", note: `to rounding also ${same.join(", ") || "none"}`, ...exact },
        ...approximations.map(({ names, error, map }) => ({
          ...{ title: names.join(", "), note: `distance ${error.toPrecision(3)}`, ...map },
        })),
      ],
    })),
  });
  const note =
    "Parameters unit by unit. What a method has between two units, and within one, shows as squares off and on the diagonal; every layer has a scale of its own.";
  return { id: "inverses", title, note, svg };
}
