/** Images of the validation split with what a model takes them for, mistakes first. */
import { encode } from "fast-png";
import type { Classification, ClassifiedImage } from "../training/classification.ts";
import { countOf, formatCount } from "./format.ts";
import { type Html, html } from "./html.ts";

/** About the width of an image on the page, in pixels; images are enlarged by whole numbers. */
const WIDTH = 90;

/** The images, each a PNG in the page with its description, after a line that says what is shown. */
export function contactSheet({ classNames, confusion, images }: Classification): Html {
  return html`<p>${describe(confusion, images)}</p>
<ul class="sheet">
${images.map((image) => tile(image, classNames))}</ul>`;
}

function describe(confusion: Classification["confusion"], images: readonly ClassifiedImage[]): string {
  const all = confusion.flat().reduce((sum, count) => sum + count, 0);
  const wrong = all - confusion.reduce((sum, row, truth) => sum + row[truth], 0);
  if (wrong === 0) return `All ${countOf(all, "validation image")} are taken for what they are, as these.`;
  const shown = images.filter(isMistake).length;
  const rest = images.length > shown ? `, then ${images.length - shown} that are right` : "";
  const order = shown > 1 ? ", the most confident first" : "";
  const which = shown < wrong ? `${shown} of them${order}` : `${shown === 1 ? "it" : `all ${shown}`}${order}`;
  return `${formatCount(wrong)} of ${countOf(all, "validation image")} ${wrong === 1 ? "is" : "are"} taken for something else: ${which}${rest}.`;
}

function tile(image: ClassifiedImage, classNames: readonly string[]): Html {
  const { truth, predicted, confidence, shape } = image;
  const [, height, width] = shape;
  const scale = Math.max(1, Math.round(WIDTH / width));
  const [is, taken] = [classNames[truth], classNames[predicted]];
  const certainty = `${Math.floor(100 * confidence)} %`;
  const wrong = isMistake(image);
  const alt = wrong ? `${is}, taken for ${taken}` : `${is}, and taken for it`;
  const caption = wrong
    ? html`<strong>✗ ${taken}</strong> ${certainty}<br>is ${is}`
    : html`<strong>✓ ${taken}</strong> ${certainty}`;
  return html`<li class="${wrong ? "wrong" : "right"}"><img src="${toPng(image)}" alt="${alt}" width="${scale * width}" height="${scale * height}"><div>${caption}</div></li>\n`;
}

function isMistake({ truth, predicted }: ClassifiedImage): boolean {
  return truth !== predicted;
}

/** One channel is gray, three are red, green and blue; of any other number the first is shown. */
function toPng({ shape: [channels, height, width], bytes }: ClassifiedImage): string {
  const shown = channels === 3 ? 3 : 1;
  const area = height * width;
  const data = Uint8Array.from({ length: shown * area }, (_, k) => {
    return bytes[(k % shown) * area + Math.floor(k / shown)];
  });
  const png = encode({ width, height, data, channels: shown, depth: 8 }, { zlib: { level: 9 } });
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}
