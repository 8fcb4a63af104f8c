/** Directions of all parameters, cut into the layers' vectors of a block and put together again; names in programs. */
import type { CurvatureBlock, SlotSymbols } from "../../curvature/block.ts";
import type { LayerScores, LayerVector } from "../../fisher/index.ts";
import { input, type SymbolicTensor } from "../../graph/index.ts";
import type { Problem } from "../optimizer.ts";

/** One traced tensor for each parameter, by full name. */
export type Directions = Map<string, SymbolicTensor>;

export function slotName(block: number, name: string): string {
  return `${block}/${name}`;
}

export function factorName(layer: string, factor: "inputs" | "deltas"): string {
  return `factors/${layer}/${factor}`;
}

export function gradientName(parameter: string): string {
  return `gradient/${parameter}`;
}

export function layerVector(layer: CurvatureBlock["layers"][number], values: Directions): LayerVector {
  return {
    weight: values.get(layer.weight)!,
    bias: layer.bias === undefined ? undefined : values.get(layer.bias),
  };
}

export function collect(directions: Directions, block: CurvatureBlock, result: readonly LayerVector[]): void {
  block.layers.forEach(({ weight, bias }, l) => {
    directions.set(weight, result[l].weight);
    if (bias !== undefined) directions.set(bias, result[l].bias!);
  });
}

/** Input nodes of the batch's gradient, by full name. */
export function gradientInputs({ model, dtype }: Problem): Directions {
  return new Map(
    [...model.parameters].map(
      ([name, { shape }]) => [name, input(gradientName(name), shape, dtype)] as const,
    ),
  );
}

/** Input nodes of a block's slots, by their own names. */
export function slotInputs(b: number, { statistics, refreshed }: CurvatureBlock): SlotSymbols {
  const specs = Object.entries({ ...statistics, ...refreshed });
  return Object.fromEntries(
    specs.map(([name, { shape, dtype }]) => [name, input(slotName(b, name), shape, dtype)] as const),
  );
}

/** The factors of a block's gradient where all of its layers have some. */
export function allOf(
  factors: readonly LayerScores[],
  { layers }: CurvatureBlock,
): readonly LayerScores[] | undefined {
  return factors.length === layers.length ? factors : undefined;
}
