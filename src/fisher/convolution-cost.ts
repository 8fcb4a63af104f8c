/**
 * What the ways to solve a convolution's block in sample space cost, and which one is taken.
 *
 * | form      | S Sᵀ from                  | directions from | flops of a refresh and a direction | kept      |
 * | --------- | -------------------------- | --------------- | ---------------------------------- | --------- |
 * | `samples` | S, formed                  | S               | 2MTP + 2M²P + 2MP                  | MP        |
 * | `rows`    | S, formed and dropped      | images and δ    | 2MTP + 2M²P + 2NTP                 | NCHW + MOT |
 * | `tensors` | covariance tensors         | images and δ    | 2N²T²gF + 2M²T²(O + g) + 2NTP      | NCHW + MOT |
 *
 * with N samples, M score rows, T positions, g groups, F numbers in a patch, O filters and P = OF parameters. The first is cheapest
 * almost always; the second is its form where memory is short; the third, TENGraD's [Soori21 §3.2], wins where T² < FO/(F + O),
 * about: wide layers at the end of a network, whose images are small.
 */
import { bytesPerElement } from "../tensor.ts";
import type { ConvolutionScores } from "./image-scores.ts";

/** How S Sᵀ of a convolution comes about, and what is kept for directions. */
export type GramForm = "samples" | "rows" | "tensors";

export interface FormCost {
  /** Floating-point operations of a refresh and the direction on its batch. */
  readonly flops: number;
  /** Bytes kept until the next refresh. */
  readonly bytes: number;
}

export function formCosts({
  inputs,
  deltas,
  kernel,
  convolution,
  bias,
}: ConvolutionScores): Readonly<Record<GramForm, FormCost>> {
  const { groups } = convolution;
  const [samples, channels] = inputs.shape;
  const [rows, units, height, width] = deltas.shape;
  const positions = height * width;
  const features = (channels / groups) * kernel[0] * kernel[1] + (bias === undefined ? 0 : 1);
  const parameters = units * features;
  const element = bytesPerElement(deltas.dtype);
  const forming = 2 * rows * positions * parameters;
  const gram = 2 * rows ** 2 * parameters;
  const tensors = 2 * positions ** 2 * (samples ** 2 * groups * features + rows ** 2 * (units + groups));
  const gradient = 2 * samples * positions * parameters;
  const factors = element * (inputs.size + deltas.size);
  return {
    samples: { flops: forming + gram + 2 * rows * parameters, bytes: element * rows * parameters },
    rows: { flops: forming + gram + gradient, bytes: factors },
    tensors: { flops: tensors + gradient, bytes: factors },
  };
}

/**
 * The form of each convolution: the one of the fewest operations, and where all that is kept would exceed a budget, the cheapest
 * of those that keep less, for the largest layers first.
 *
 * @param budget bytes that all layers may keep
 */
export function chooseForms(layers: readonly ConvolutionScores[], budget: number): Map<string, GramForm> {
  const costs = layers.map((layer) => ({ layer: layer.layer, costs: formCosts(layer) }));
  const chosen = new Map(costs.map(({ layer, costs: own }) => [layer, cheapest(own, Infinity)] as const));
  const kept = () => costs.reduce((total, { layer, costs: own }) => total + own[chosen.get(layer)!].bytes, 0);
  const largestFirst = [...costs].sort((a, b) => b.costs.samples.bytes - a.costs.samples.bytes);
  for (const { layer, costs: own } of largestFirst) {
    if (kept() <= budget) break;
    chosen.set(layer, cheapest(own, own[chosen.get(layer)!].bytes));
  }
  return chosen;
}

/** The form of the fewest operations among those that keep less than a number of bytes; the smallest where none does. */
function cheapest(costs: Readonly<Record<GramForm, FormCost>>, below: number): GramForm {
  const forms: readonly GramForm[] = ["samples", "rows", "tensors"];
  const smaller = forms.filter((form) => costs[form].bytes < below);
  if (smaller.length === 0) return forms.reduce((a, b) => (costs[b].bytes < costs[a].bytes ? b : a));
  return smaller.reduce((a, b) => (costs[b].flops < costs[a].flops ? b : a));
}

const names: Readonly<Record<GramForm, string>> = {
  samples: "explicit per-sample gradients",
  rows: "per-sample gradients formed for the Gram matrix alone",
  tensors: "covariance tensors",
};

/** `explicit per-sample gradients, 1.2 GFLOP; covariance tensors would take 5 TFLOP`. */
export function describeForm(form: GramForm, layer: ConvolutionScores): string {
  const costs = formCosts(layer);
  const other = form === "tensors" ? "samples" : "tensors";
  const own = `${names[form]}, ${formatFlops(costs[form].flops)}`;
  return `${own}; ${names[other]} would take ${formatFlops(costs[other].flops)}`;
}

/** `convolutions: 5 by explicit per-sample gradients, 1 by covariance tensors`. */
export function countForms(forms: readonly GramForm[]): string {
  const counts = [...new Set(forms)].map(
    (form) => [forms.filter((other) => other === form).length, form] as const,
  );
  return `convolutions: ${counts.map(([count, form]) => `${count} by ${names[form]}`).join(", ")}`;
}

function formatFlops(flops: number): string {
  const units = ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"];
  const exponent = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, flops)) / 3));
  return `${Number((flops / 1000 ** exponent).toPrecision(2))} ${units[exponent]}`;
}
