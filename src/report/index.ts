export { renderComparisonFigure } from "./figures.ts";
export { renderGrowthReport } from "./growth.ts";
export { renderReport } from "./report.ts";
