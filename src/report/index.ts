export { renderExperiment } from "./experiment.ts";
export { experimentFiles } from "./experiment-figures.ts";
export { renderComparisonFigure } from "./figures.ts";
export { renderGrowthReport } from "./growth.ts";
export { type InspectionContext, renderInspection } from "./inspection.ts";
export { renderReport } from "./report.ts";
