/** The inspection of a checkpoint: what the Fisher matrix looks like there, and what each method makes of it. */
import type { Dataset } from "../data/dataset.ts";
import { requireOption, UsageError } from "../errors.ts";
import { type FisherOption, type LayerScores, parseFisher, totalDimension } from "../fisher/index.ts";
import type { SymbolicTensor } from "../graph/index.ts";
import type { DirectionMap } from "../optimizers/natural/direction-map.ts";
import type { Batch, Method } from "../optimizers/optimizer.ts";
import { createOptimizer, findMethod, type MethodInfo, methods } from "../optimizers/registry.ts";
import { Random } from "../random.ts";
import type { NamedTensors, Tensor } from "../tensor.ts";
import type { CheckpointSource } from "../training/checkpoint.ts";
import type { TrainerConfig } from "../training/trainer-config.ts";
import { type Decomposition, decompose, leadingInverse, solve, traceMatrix } from "./decomposition.ts";
import { compareDirection, exactDecrease, norm, type Reference } from "./directions.ts";
import type { DirectionComparison, Inspection, LayerInspection } from "./inspection.ts";
import { averagedOf, groupInverses, heatMap, impliedInverse, windowOf } from "./inverses.ts";
import { chooseRows, type InspectedNetwork, openNetwork } from "./network.ts";
import {
  flatVector,
  type LayerRows,
  readScoreRows,
  type ScoreRows,
  scoreProduct,
  traceFactors,
} from "./score-rows.ts";
import { describeSpectrum } from "./spectrum.ts";

export interface InspectOptions {
  /** Rows of the batch, N; default 128, or all where there are fewer. */
  readonly samples?: number;
  /** Of the rows that are chosen, and of Monte-Carlo targets; default 0. */
  readonly seed?: number;
  /** Whose targets the scores are taken at; default `"exact"`. */
  readonly fisher?: FisherOption;
  /** λ > 0; default: the damping that the run's optimizer has come to, or 0.01 where it has none. */
  readonly damping?: number;
  /** Natural-gradient methods by name; default: all. */
  readonly methods?: readonly string[];
  /** Layers whose inverses are drawn, by name; default: all. */
  readonly layers?: readonly string[];
  /** Told what is being done and how much is done, 0 to 1; what it throws ends the inspection. */
  readonly onProgress?: (fraction: number, text: string) => void;
}

/** The largest matrix that is decomposed: 128 MiB, and some minutes without LAPACK. */
const LARGEST_ORDER = 4096;
const DEFAULT_DAMPING = 0.01;
/** Up to so many score rows, costly methods are inspected unasked. */
const COSTLY_ROWS = 512;

/**
 * Inspects a checkpoint on a batch of the run's data, in float64 on the CPU.
 *
 * All methods are given the same batch, the same Fisher type where they take one, and the same damping; the run's own
 * optimizer is shown once more with the options and the history of the run.
 *
 * @param config the configuration that the checkpoint was saved with
 * @param data the training rows
 * @throws UsageError when an option is out of range, a name is unknown, or the checkpoint is not of this configuration
 */
export async function inspect(
  checkpoint: CheckpointSource,
  config: TrainerConfig,
  data: Dataset,
  options: InspectOptions = {},
): Promise<Inspection> {
  const available = data.inputs.shape[0];
  const { samples = Math.min(128, available), seed = 0, onProgress = () => {} } = options;
  requireOption(
    Number.isInteger(samples) && samples > 0 && samples <= available,
    "samples",
    samples,
    `an integer from 1 to ${available}, the training rows`,
  );
  const fisher = parseFisher(options.fisher ?? "exact");
  const { damping: asked } = options;
  requireOption(asked === undefined || asked > 0, "damping", asked, "> 0");
  const chosen = chooseMethods(options.methods);

  onProgress(0, "score rows");
  const network = await openNetwork(checkpoint, config);
  try {
    const damping = asked ?? currentDamping(network.own);
    const batch = chooseRows(data, samples, seed);
    const draws = await network.draw(batch, fisher, new Random(seed).fork("targets"));
    const { loss, gradient } = await network.gradient(batch);
    const { scores, matrices } = await readBatch(network, batch, fisher, draws);
    const drawn = chooseLayers(scores, options.layers);

    const decompositions: Decomposition[] = [];
    const parts = [{ name: "all", parameters: scores.parameters }, ...scores.layers];
    for (const [k, { name, parameters }] of parts.entries()) {
      onProgress((0.3 * k) / parts.length, `eigenvalues of ${describePart(name)}`);
      const known = k === 1 && scores.layers.length === 1 ? decompositions[0] : undefined;
      decompositions.push(known ?? (await decompose(matrices[k], parameters, describePart(name))));
    }
    const g = flatVector(scores, gradient);
    const direction = solve(decompositions[0], scores, g, damping);
    const product = scoreProduct(scores, direction);
    const reference: Reference = { scores, damping, gradient: g, direction, product };

    const layers = await Promise.all(
      drawn.map(async (layer) => {
        const own = decompositions[1 + scores.layers.indexOf(layer)];
        const window = windowOf(layer);
        const { runtime } = network.problem;
        return { layer, window, exact: await leadingInverse(own, scores, layer, damping, window, runtime) };
      }),
    );
    const shared = { batch, draws, gradient, reference, layers };
    const compared = await compareMethods(
      network,
      config,
      { chosen, asked: options.methods !== undefined },
      fisher,
      shared,
      onProgress,
    );

    return {
      ...{ epoch: network.progress.epoch, step: network.progress.step, samples, rows: scores.rows },
      ...{ fisher: fisher.type, damping, loss, gradientNorm: norm(g) },
      spectra: parts.map(({ name, parameters }, k) =>
        describeSpectrum(name, decompositions[k], parameters, scores.rows, damping),
      ),
      exactDecrease: exactDecrease(reference),
      directions: [
        compareDirection(reference, g, { name: "gradient", note: "no curvature" }),
        ...compared.directions,
      ].sort((a, b) => b.metricCosine - a.metricCosine),
      layers: layers.map(({ layer, window, exact }, k): LayerInspection => {
        const averaged = averagedOf(window);
        const groups = groupInverses(exact, window, averaged, compared.inverses[k]);
        const { name, units, width, parameters } = layer;
        return {
          name,
          units,
          width,
          parameters,
          window,
          averaged,
          exact: heatMap(exact, window, averaged),
          ...groups,
        };
      }),
      leftOut: compared.leftOut,
    };
  } finally {
    network.dispose();
  }
}

/** @throws UsageError for an unknown name, with the nearest one, and for methods that are not natural gradients */
function chooseMethods(names: readonly string[] | undefined): MethodInfo[] {
  const natural = methods.filter(({ kind }) => kind === "natural");
  if (names === undefined) return natural;
  return [...new Set(names)].map((name) => {
    const method = findMethod(name);
    if (natural.includes(method)) return method;
    throw new UsageError(
      `${method.name} makes no direction of one batch's curvature (choose among ${natural.map((one) => one.name).join(", ")})`,
    );
  });
}

function chooseLayers({ layers }: ScoreRows, names: readonly string[] | undefined): readonly LayerRows[] {
  const known = layers.map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`unknown layer: ${unknown} (the network has ${known.join(", ")})`);
  }
  return names === undefined ? layers : layers.filter(({ name }) => names.includes(name));
}

/** λ where the run's optimizer stands, which may have adapted it. */
function currentDamping(own: Method): number {
  const { damping } = own.remember().values;
  return typeof damping === "number" && damping > 0 ? damping : DEFAULT_DAMPING;
}

function describePart(name: string): string {
  return name === "all" ? "all parameters" : `layer ${name}`;
}

/** Score rows by their factors, and the matrix of all parameters and of each layer that is to be decomposed. */
async function readBatch(
  network: InspectedNetwork,
  batch: Batch,
  fisher: ReturnType<typeof parseFisher>,
  draws: readonly Tensor[],
): Promise<{ scores: ScoreRows; matrices: Tensor[] }> {
  let traced: readonly LayerScores[] = [];
  const results = await network.scores(batch, fisher, draws, ({ layers, samples }) => {
    const [rows] = layers[0].deltas.shape;
    const dimension = totalDimension(layers);
    const order = Math.min(rows, dimension);
    if (order > LARGEST_ORDER) {
      throw new UsageError(
        `${samples} samples have ${rows} score rows with the ${fisher.type} Fisher matrix: order ${order} is above ${LARGEST_ORDER} (use fewer samples or another Fisher type)`,
      );
    }
    traced = layers;
    const matrices = [layers, ...layers.map((layer) => [layer])].map((group, k): [string, SymbolicTensor] => [
      `matrix/${k}`,
      traceMatrix(group, samples),
    ]);
    return { ...traceFactors(layers), ...Object.fromEntries(matrices) };
  });
  const matrices = Array.from({ length: traced.length + 1 }, (_, k) => results[`matrix/${k}`]);
  return { scores: readScoreRows(traced, results), matrices };
}

interface Shared {
  readonly batch: Batch;
  readonly draws: readonly Tensor[];
  readonly gradient: NamedTensors;
  readonly reference: Reference;
  readonly layers: readonly { readonly layer: LayerRows; readonly window: number }[];
}

interface Compared {
  readonly directions: DirectionComparison[];
  /** For every layer that is drawn, one inverse a method. */
  readonly inverses: { name: string; inverse: Float64Array }[][];
  readonly leftOut: string[];
}

async function compareMethods(
  network: InspectedNetwork,
  config: TrainerConfig,
  { chosen, asked }: { readonly chosen: readonly MethodInfo[]; readonly asked: boolean },
  fisher: ReturnType<typeof parseFisher>,
  { batch, draws, gradient, reference, layers }: Shared,
  onProgress: NonNullable<InspectOptions["onProgress"]>,
): Promise<Compared> {
  const { scores, damping } = reference;
  const found: Compared = { directions: [], inverses: layers.map(() => []), leftOut: [] };
  const candidates = [
    ...(network.own.directionMap ? [{ info: undefined, name: `${config.optimizer.name} as trained` }] : []),
    ...chosen.map((info) => ({ info, name: info.name })),
  ];
  const columns = layers.reduce((total, { window }) => total + window, 0);
  for (const [k, { info, name }] of candidates.entries()) {
    if (info?.costly && !asked && scores.rows > COSTLY_ROWS) {
      found.leftOut.push(
        `${name}: costly with ${scores.rows} score rows (name it among the methods to have it)`,
      );
      continue;
    }
    const report = (done: number) => onProgress(0.3 + (0.7 * (k + done)) / candidates.length, name);
    report(0);
    let map: DirectionMap | undefined;
    try {
      const method = info ? await network.start(createOptimizer(info.name, optionsFor(info))) : network.own;
      const sampledTargets = draws.length > 0 ? draws : undefined;
      map = await method.directionMap?.(batch, {
        continued: info === undefined,
        sampledTargets,
      });
      if (map === undefined) {
        found.leftOut.push(`${name}: it makes no direction of one batch's curvature`);
        continue;
      }
      if (info && map.learns) {
        if (info.name !== config.optimizer.name) {
          found.leftOut.push(
            `${name}: it learns its inverse from the steps of training, and this run was not trained with it`,
          );
        }
        continue;
      }
      const direction = flatVector(scores, await map.apply(gradient));
      const about = { name, damping: map.damping, note: noteOn(info, map) };
      found.directions.push(compareDirection(reference, direction, about));
      if (map.iterative) {
        found.leftOut.push(
          `heat maps of ${name}: it keeps no inverse, every gradient is solved for by itself`,
        );
        continue;
      }
      let done = 0;
      for (const [l, { layer, window }] of layers.entries()) {
        const inverse = await impliedInverse(map, layer, window, () => report(done++ / columns));
        found.inverses[l].push({ name, inverse });
      }
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      found.leftOut.push(`${name}: ${error.message}`);
    } finally {
      map?.dispose();
    }
  }
  return found;

  function optionsFor({ options }: MethodInfo) {
    const own = {
      damping,
      fisher: fisher.draws > 0 ? { type: fisher.type, samples: fisher.draws } : fisher.type,
    };
    return Object.fromEntries(Object.entries(own).filter(([key]) => options.includes(key)));
  }

  function noteOn(info: MethodInfo | undefined, { note, damping: used }: DirectionMap): string | undefined {
    const notes = [
      info === undefined ? "the run's own options and history" : undefined,
      info && !info.options.includes("fisher") && fisher.type !== "exact"
        ? "its own curvature, not this Fisher"
        : undefined,
      used === damping || info === undefined ? undefined : `damping raised to ${used}`,
      note,
    ];
    return notes.filter(Boolean).join("; ") || undefined;
  }
}
