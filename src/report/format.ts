/** Numbers as people read them. Nothing here depends on the locale: the same run gives the same bytes everywhere. */
export { formatBytes } from "../memory.ts";

/** Four significant digits: `0.01234`, `1.234×10⁻⁵`, `96453`. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) {
    const [mantissa, exponent] = value.toExponential(3).split("e");
    return `${mantissa}×${powerOfTen(Number(exponent))}`;
  }
  return size >= 1000 ? String(Math.round(value)) : value.toPrecision(4);
}

/** `0.34 s`, `12.3 s`, `3 min 25 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.1) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `96,453`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 epoch`, `5 epochs`. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** One value of an option: `0.01`, `exact`, `initial 1, policy levenberg-marquardt`. */
export function formatOption(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return JSON.stringify(value) ?? String(value);
  return Object.entries(value)
    .map(([name, part]) => `${name} ${formatOption(part)}`)
    .join(", ");
}

/** A label of a logarithmic axis: `0.001`, `20`, `2×10⁻⁵`. */
export function formatTick(value: number): string {
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
  if (exponent >= -3 && exponent < 5) return String(Number(value.toPrecision(6)));
  const mantissa = Number((value / 10 ** exponent).toPrecision(4));
  const power = powerOfTen(exponent);
  return mantissa === 1 ? power : `${mantissa}×${power}`;
}

function powerOfTen(exponent: number): string {
  return `10${[...String(exponent)].map((character) => superscripts[character]).join("")}`;
}

const superscripts: Record<string, string> = {
  ...{ "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴" },
  ...{ "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹" },
};
