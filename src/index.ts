/** natgrad: neural networks trained by natural gradient. */
export type { OutputMetric } from "./curvature/output-metric.ts";
export type { CurvatureRow } from "./curvature/report.ts";
export type { SolverOption } from "./curvature/solver.ts";
export * from "./data/index.ts";
export { RunError, UsageError } from "./errors.ts";
export type { FisherOption } from "./fisher/index.ts";
export * from "./models/index.ts";
export * from "./nn/index.ts";
export * from "./optimizers/index.ts";
export { Random } from "./random.ts";
export type { Device } from "./runtime/session.ts";
export { setWasmFolder } from "./runtime/wasm-folder.ts";
export { type NamedTensors, type NamedTensorsLike, type Tensor, tensor } from "./tensor.ts";
export * from "./training/index.ts";
export { openRun, type Prediction, type TrainedRun } from "./training/open-run.ts";
