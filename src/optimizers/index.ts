/** Optimizers: first-order baselines and natural gradients. */
export { type AdamOptions, adam, adamw } from "./first-order/adam.ts";
export { type RmspropOptions, rmsprop } from "./first-order/rmsprop.ts";
export { type SgdOptions, sgd } from "./first-order/sgd.ts";
export { type LbfgsOptions, type LineSearchName, lbfgs } from "./full-batch/lbfgs.ts";
export { type LevenbergMarquardtOptions, levenbergMarquardt } from "./full-batch/levenberg-marquardt.ts";
export { type MuonOptions, muon } from "./matrix/muon.ts";
export { type ShampooOptions, shampoo } from "./matrix/shampoo.ts";
export { type SoapOptions, soap } from "./matrix/soap.ts";
export type { DampingOption } from "./natural/damping.ts";
export type { CarryingOptions, NaturalOptions } from "./natural/natural.ts";
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
} from "./natural/presets.ts";
export type { Batch, DirectionOptions, Optimizer, StepStatistics } from "./optimizer.ts";
export { createOptimizer, findMethod, type MethodInfo, methods } from "./registry.ts";
export { type LearningRate, learningRateAt } from "./schedule.ts";
export type { StepRuleOption, StepRuleOptions } from "./step-rules/step-rule.ts";
export type { TrustRegionOption } from "./step-rules/trust-region.ts";
