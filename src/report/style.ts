/** The style sheet of a report. */
import { paletteVariables, schemes } from "./palette.ts";

export const styleSheet = `
:root { color-scheme: light dark; ${paletteVariables(schemes.light)} }
@media (prefers-color-scheme: dark) { :root { ${paletteVariables(schemes.dark)} } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 40px 24px 64px; color: var(--ink); background: var(--surface);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 30px; line-height: 1.2; letter-spacing: -0.01em; text-wrap: balance; }
h2 { margin: 48px 0 12px; font-size: 20px; line-height: 1.3; }
h3 { margin: 0 0 4px; font-size: 15px; }
p { margin: 0 0 12px; }
.facts { margin: 8px 0 0; color: var(--muted); font-size: 14px; }
.headline { max-width: 62ch; margin: 24px 0 0; padding-left: 16px; border-left: 3px solid var(--accent); font-size: 19px; line-height: 1.5; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 32px 28px; margin-top: 36px; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figcaption { margin-top: 4px; color: var(--muted); font-size: 13px; }
.chart { display: block; width: 100%; height: auto; font-family: inherit; }
.chart text { white-space: pre; }
.narrow { display: none; }
.scrolling { position: relative; overflow-x: auto; margin: 0 0 12px; }
.scrolling:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; line-height: 1.4; }
th, td { padding: 7px 14px 7px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid); }
th:last-child, td:last-child { padding-right: 0; }
thead th { vertical-align: bottom; color: var(--muted); font-weight: 500; font-size: 13px; border-bottom: 1px solid var(--muted); }
tbody th { font-weight: 600; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .number { white-space: normal; }
.against { color: var(--mistake); }
.best { color: var(--accent); }
.diverged td, .diverged th { color: var(--muted); }
.group th { padding-top: 18px; }
.aside { color: var(--muted); font-weight: 400; font-size: 0.93em; }
.options > span { display: block; white-space: nowrap; }
.swatch { display: inline-block; width: 10px; height: 10px; margin-right: 8px; border: 2px solid; border-radius: 50%; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
code, pre { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 0; padding: 14px 16px; border: 1px solid var(--grid); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  user-select: all; cursor: copy; }
ul { margin: 0 0 12px; padding-left: 20px; }
li { margin: 2px 0; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: 6px 0; color: var(--muted); font-size: 14px; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 40px; }
h4 { margin: 0 0 2px; font-size: 13px; font-weight: 600; overflow-wrap: anywhere; }
h3.layer { margin: 28px 0 2px; }
p.aside { max-width: 90ch; font-size: 13px; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 18px 16px; }
.maps figcaption { margin-left: 36px; }
.scale { display: flex; align-items: flex-start; gap: 10px; margin-top: 8px; color: var(--muted); font-size: 13px; }
.scale svg { width: 300px; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 16px 12px; padding: 0; list-style: none; }
.sheet li { margin: 0; font-size: 13px; line-height: 1.4; }
.sheet img { display: block; margin-bottom: 4px; border: 2px solid; border-radius: 4px; image-rendering: pixelated; box-sizing: content-box; }
.sheet .wrong img { border-color: var(--mistake); }
.sheet .right img { border-color: var(--accent); }
.sheet .wrong strong { color: var(--mistake); }
.sheet .right strong { color: var(--accent); }
.confusion { width: auto; }
.confusion th, .confusion td { padding: 5px 10px; }
.confusion .none { color: var(--muted); }
footer { margin-top: 48px; color: var(--muted); font-size: 13px; }
@media (max-width: 760px) {
  body { padding: 24px 16px 48px; }
  h1 { font-size: 25px; }
  .headline { font-size: 17px; }
  .columns { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 960px) { .charts { grid-template-columns: minmax(0, 600px); } }
@media (max-width: 520px) {
  .wide { display: none; }
  .narrow { display: block; }
  .maps { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px 8px; }
  .maps figcaption { margin-left: 0; }
}
@media print {
  :root { color-scheme: light; ${paletteVariables(schemes.light)} }
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  .scrolling { overflow: visible; }
  th, td { padding-right: 8px; }
  .wide { display: block; }
  .narrow { display: none; }
  .charts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
`;
