/** Directions of all parameters, cut into the layers' vectors of a block and put together again; names in programs. */
import type { CurvatureBlock } from "../../curvature/block.ts";
import type { LayerVector } from "../../fisher/index.ts";
import type { SymbolicTensor } from "../../graph/index.ts";

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
