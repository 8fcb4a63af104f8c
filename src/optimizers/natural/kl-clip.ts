/**
 * KL clipping [Ba et al. 2017]: to second order a step of η·δθ moves the model's distribution by η²/2 δθᵀF δθ, and
 * δθᵀF δθ ≈ ⟨δθ, g⟩.
 */
import { add, divide, input, maximum, minimum, multiply, sqrt, sum } from "../../graph/index.ts";
import type { Problem } from "../optimizer.ts";
import type { Directions } from "./directions.ts";

/** Scales directions by ν = min(1, √(κ/(η²⟨δθ, g⟩))). */
export function clipDivergence(
  directions: Directions,
  gradient: Directions,
  klClip: number,
  { dtype }: Problem,
): Directions {
  const products = [...directions].map(([name, node]) => sum(multiply(node, gradient.get(name)!)));
  const rate = input("learningRate", [], dtype);
  const tiny = dtype === "float64" ? 1e-300 : 1e-37;
  const change = maximum(multiply(products.reduce(add), multiply(rate, rate)), tiny);
  const scale = minimum(sqrt(divide(klClip, change)), 1);
  return new Map([...directions].map(([name, node]) => [name, multiply(node, scale)]));
}
