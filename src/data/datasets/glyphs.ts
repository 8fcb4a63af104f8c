import type { Random } from "../../random.ts";
import { synthetic } from "./synthetic.ts";

const side = 8;
const noise = 0.25;

/** The ten digits, four by six, one string per row of pixels. */
const shapes: readonly (readonly string[])[] = [
  [".##.", "#..#", "#..#", "#..#", "#..#", ".##."],
  ["..#.", ".##.", "..#.", "..#.", "..#.", ".###"],
  [".##.", "#..#", "...#", "..#.", ".#..", "####"],
  ["###.", "...#", ".##.", "...#", "...#", "###."],
  ["#..#", "#..#", "#..#", "####", "...#", "...#"],
  ["####", "#...", "###.", "...#", "...#", "###."],
  [".###", "#...", "###.", "#..#", "#..#", ".##."],
  ["####", "...#", "..#.", "..#.", ".#..", ".#.."],
  [".##.", "#..#", ".##.", "#..#", "#..#", ".##."],
  [".##.", "#..#", "#..#", ".###", "...#", "###."],
];

/**
 * Small pictures of the ten digits, eight by eight gray pixels: each is drawn at a random place, slanted at random, with
 * a random strength and normal noise, and inked pixels spill over to their neighbours.
 */
export const glyphs = synthetic({
  name: "glyphs",
  summary: "the ten digits as noisy pictures of 8 by 8 pixels",
  rows: 4000,
  inputs: side * side,
  source: "generated",
  inputNames: Array.from(
    { length: side * side },
    (_, at) => `row ${Math.floor(at / side)} column ${at % side}`,
  ),
  targetName: "digit",
  classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
  imageShape: [1, side, side],
  draw(random, rows) {
    const inputs = Array.from({ length: side * side }, () => new Float64Array(rows));
    const target = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      target[row] = row % shapes.length;
      const picture = drawGlyph(shapes[target[row]], random);
      picture.forEach((value, at) => {
        inputs[at][row] = value;
      });
    }
    return { inputs, target };
  },
});

function drawGlyph(shape: readonly string[], random: Random): Float64Array {
  const picture = new Float64Array(side * side);
  const left = 0.5 + 3 * random.uniform();
  const top = random.integer(3);
  const slant = 0.3 * (random.uniform() - 0.5);
  const strength = 0.6 + 0.4 * random.uniform();
  shape.forEach((line, y) => {
    const shift = left + slant * (2.5 - y);
    const whole = Math.floor(shift);
    const spill = shift - whole;
    [...line].forEach((mark, x) => {
      if (mark !== "#") return;
      ink(picture, whole + x, top + y, strength * (1 - spill));
      ink(picture, whole + x + 1, top + y, strength * spill);
    });
  });
  return picture.map((value) => value + noise * random.normal());
}

function ink(picture: Float64Array, x: number, y: number, amount: number): void {
  if (x >= 0 && x < side) picture[y * side + x] += amount;
}
