import { drawColumns, numbered, synthetic } from "./synthetic.ts";

/**
 * The first regression task of J. H. Friedman, *Multivariate adaptive regression splines*, Annals of Statistics 19
 * (1991): y = 10 sin(π x₁x₂) + 20 (x₃ − ½)² + 10 x₄ + 5 x₅ + ε with x uniform in [0, 1]¹⁰ and ε ~ N(0, 1), so that five
 * inputs mean nothing.
 */
export const friedman1 = synthetic({
  name: "friedman1",
  summary: "a smooth function of five inputs among ten, with noise",
  rows: 2000,
  inputs: 10,
  source: "J. H. Friedman, Annals of Statistics 19 (1991)",
  inputNames: numbered(10),
  targetName: "y",
  draw(random, rows) {
    const inputs = drawColumns(10, rows, () => random.uniform());
    const noise = random.fork("noise");
    const target = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      const [x1, x2, x3, x4, x5] = inputs.map((column) => column[row]);
      const signal = 10 * Math.sin(Math.PI * x1 * x2) + 20 * (x3 - 0.5) ** 2 + 10 * x4 + 5 * x5;
      target[row] = signal + noise.normal();
    }
    return { inputs, target };
  },
});
