/** Optimizers: first-order baselines and natural gradients. */
export { type AdamOptions, adam, adamw } from "./adam.ts";
export type { DampingOption } from "./damping.ts";
export { type LbfgsOptions, type LineSearchName, lbfgs } from "./lbfgs.ts";
export { type LevenbergMarquardtOptions, levenbergMarquardt } from "./levenberg-marquardt.ts";
export { type MuonOptions, muon } from "./muon.ts";
export type { CarryingOptions, NaturalOptions } from "./natural.ts";
export type { Batch, DirectionOptions, Optimizer, StepStatistics } from "./optimizer.ts";
export {
  blockDiagonalNgd,
  blockTridiagonalNgd,
  type CustomMetricOptions,
  customMetric,
  type DirectOptions,
  diagonalNgd,
  type EkfacOptions,
  type ElementwiseOptions,
  ekfac,
  exactNgd,
  type HessianFreeOptions,
  hessianFree,
  type KbfgsOptions,
  type KfacOptions,
  kbfgs,
  kfac,
  type LayerwiseOptions,
  layerwiseNgd,
  quasiDiagonalNgd,
  tengrad,
  unitwiseNgd,
  woodFisher,
} from "./presets.ts";
export { createOptimizer, findMethod, type MethodInfo, methods } from "./registry.ts";
export { type RmspropOptions, rmsprop } from "./rmsprop.ts";
export { type LearningRate, learningRateAt } from "./schedule.ts";
export { type SgdOptions, sgd } from "./sgd.ts";
export { type ShampooOptions, shampoo } from "./shampoo.ts";
export { type SoapOptions, soap } from "./soap.ts";
export type { StepRuleOption, StepRuleOptions } from "./step-rule.ts";
export type { TrustRegionOption } from "./trust-region.ts";
