/** How layers are grouped into blocks. */
import type { LayerScores, Scores } from "../fisher/index.ts";

/** Full names of the parameters of some layers, in order. */
export function blockParameters(layers: readonly Pick<LayerScores, "weight" | "bias">[]): string[] {
  return layers.flatMap(({ weight, bias }) => (bias === undefined ? [weight] : [weight, bias]));
}

/** One group of all layers: their coupling is kept. */
export function together(scores: Scores): Scores[] {
  return [scores];
}

/** One group for each layer: the coupling between layers is dropped. */
export function layerByLayer(scores: Scores): Scores[] {
  return scores.layers.map((layer) => ({ ...scores, layers: [layer] }));
}
