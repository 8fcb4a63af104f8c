import { synthetic } from "./synthetic.ts";

const arms = 3;
const turns = 1.25;
const noise = 0.04;

/**
 * Three arms of a spiral in the plane, one class each, after K. J. Lang and M. J. Witbrock's two spirals (1988). Radius
 * t ∈ [0.1, 1), angle 2π (turns · t + arm / arms), both coordinates with normal noise.
 */
export const spirals = synthetic({
  name: "spirals",
  summary: "three intertwined spirals in the plane, one class each",
  rows: 1500,
  inputs: 2,
  source: "after Lang and Witbrock, Learning to tell two spirals apart (1988)",
  inputNames: ["x", "y"],
  targetName: "arm",
  classNames: ["first", "second", "third"],
  draw(random, rows) {
    const x = new Float64Array(rows);
    const y = new Float64Array(rows);
    const target = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      const arm = row % arms;
      const radius = 0.1 + 0.9 * random.uniform();
      const angle = 2 * Math.PI * (turns * radius + arm / arms);
      x[row] = radius * Math.cos(angle) + noise * random.normal();
      y[row] = radius * Math.sin(angle) + noise * random.normal();
      target[row] = arm;
    }
    return { inputs: [x, y], target };
  },
});
