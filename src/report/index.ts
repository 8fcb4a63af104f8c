export { renderComparisonFigure } from "./figures.ts";
export { renderReport } from "./report.ts";
