import { drawColumns, numbered, synthetic } from "./synthetic.ts";

const inputs = 10;
const hidden = 8;
const noise = 0.05;

/**
 * What a random network says: y = Σₖ vₖ tanh(wₖ·x + bₖ) + ε with x ~ N(0, I₁₀), eight hidden units,
 * w ~ N(0, 4/10), b, v ~ N(0, 1) and ε ~ N(0, 0.05²). A student of the same shape can learn it down to the noise.
 */
export const teacher = synthetic({
  name: "teacher",
  summary: "the output of a random tanh network of eight hidden units, with a little noise",
  rows: 2000,
  inputs,
  source: "generated",
  inputNames: numbered(inputs),
  targetName: "y",
  draw(random, rows) {
    const weights = random.fork("weights");
    const units = Array.from({ length: hidden }, () => ({
      incoming: Float64Array.from({ length: inputs }, () => weights.normal() * Math.sqrt(4 / inputs)),
      bias: weights.normal(),
      outgoing: weights.normal(),
    }));
    const columns = drawColumns(inputs, rows, () => random.normal());
    const disturbance = random.fork("noise");
    const target = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      for (const { incoming, bias, outgoing } of units) {
        let sum = bias;
        for (let index = 0; index < inputs; index++) sum += incoming[index] * columns[index][row];
        target[row] += outgoing * Math.tanh(sum);
      }
      target[row] += noise * disturbance.normal();
    }
    return { inputs: columns, target };
  },
});
