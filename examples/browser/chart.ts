// A small line chart in SVG: axes, lines and dots that can be redrawn on every frame.

const width = 480;
const height = 340;
const margin = { left: 44, right: 14, top: 10, bottom: 40 };

export interface Axis {
  readonly from: number;
  readonly to: number;
  readonly logarithmic?: boolean;
  readonly ticks: readonly { at: number; text: string }[];
  readonly label?: string;
}

/** A logarithmic axis that begins at 10 to the `first`, with a tick for each power of ten. */
export function powersOfTen(first: number, texts: readonly string[], label = ""): Axis {
  const ticks = texts.map((text, k) => ({ at: 10 ** (first + k), text }));
  return { from: ticks[0].at, to: ticks[ticks.length - 1].at, logarithmic: true, ticks, label };
}

export class Chart {
  #x: Axis;
  readonly #y: Axis;
  readonly #svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  readonly #axes = element("g", {});
  readonly #dots = element("g", {});
  readonly #lines = new Map<string, SVGElement>();

  constructor(host: HTMLElement, label: string, x: Axis, y: Axis) {
    this.#x = x;
    this.#y = y;
    this.#svg.setAttribute("aria-label", label);
    this.#svg.append(this.#axes, this.#dots);
    host.append(this.#svg);
    this.#drawAxes();
  }

  /** Another horizontal axis; the lines are to be drawn again. */
  setX(x: Axis): void {
    this.#x = x;
    this.#drawAxes();
  }

  /** Draws the line `name` (also its class) through points of the axes' units. */
  line(name: string, points: Iterable<readonly [number, number]>): void {
    let line = this.#lines.get(name);
    if (!line) {
      line = element("path", { class: `line ${name}` });
      this.#lines.set(name, line);
      this.#svg.append(line);
    }
    const corners = [...points].map(([x, y]) => `${this.#left(x).toFixed(1)} ${this.#top(y).toFixed(1)}`);
    line.setAttribute("d", corners.length > 1 ? `M${corners.join("L")}` : "");
  }

  dots(points: Iterable<readonly [number, number]>): void {
    const circle = ([x, y]: readonly [number, number]) =>
      element("circle", { class: "dot", r: "3", cx: String(this.#left(x)), cy: String(this.#top(y)) });
    this.#dots.replaceChildren(...[...points].map(circle));
  }

  /** Calls back with the point that was clicked, in the axes' units. */
  onClick(callback: (x: number, y: number) => void): void {
    this.#svg.addEventListener("click", (event) => {
      const box = this.#svg.getBoundingClientRect();
      const x = ((event as MouseEvent).clientX - box.left) * (width / box.width);
      const y = ((event as MouseEvent).clientY - box.top) * (height / box.height);
      const across = (x - margin.left) / (width - margin.left - margin.right);
      const up = (height - margin.bottom - y) / (height - margin.top - margin.bottom);
      if (across < 0 || across > 1 || up < 0 || up > 1) return;
      callback(
        this.#x.from + across * (this.#x.to - this.#x.from),
        this.#y.from + up * (this.#y.to - this.#y.from),
      );
    });
  }

  #left(x: number): number {
    return margin.left + position(this.#x, x) * (width - margin.left - margin.right);
  }

  #top(y: number): number {
    return height - margin.bottom - position(this.#y, y) * (height - margin.top - margin.bottom);
  }

  #drawAxes(): void {
    const [right, bottom] = [width - margin.right, height - margin.bottom];
    const parts: SVGElement[] = [];
    for (const { at, text } of this.#x.ticks) {
      const x = String(this.#left(at));
      parts.push(
        element("line", { class: "grid", x1: x, x2: x, y1: String(margin.top), y2: String(bottom) }),
      );
      parts.push(element("text", { x, y: String(bottom + 17), "text-anchor": "middle" }, text));
    }
    for (const { at, text } of this.#y.ticks) {
      const y = String(this.#top(at));
      parts.push(
        element("line", { class: "grid", x1: String(margin.left), x2: String(right), y1: y, y2: y }),
      );
      parts.push(
        element("text", { x: String(margin.left - 8), y, dy: "0.32em", "text-anchor": "end" }, text),
      );
    }
    const label = this.#x.label ?? "";
    parts.push(element("text", { x: String(right), y: String(height - 4), "text-anchor": "end" }, label));
    this.#axes.replaceChildren(...parts);
  }
}

/** 0 at the axis's start, 1 at its end; what is outside stays at the border. */
function position({ from, to, logarithmic }: Axis, value: number): number {
  const share = logarithmic ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
  return Math.min(1, Math.max(0, share));
}

function element(name: string, attributes: Readonly<Record<string, string>>, text = ""): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}
