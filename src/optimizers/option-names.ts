/** The options of every method by name: the list that the functions check against, and that the command line shows. */
import { everyKeyOf, requireSpelling } from "../errors.ts";
import type { AdamOptions } from "./first-order/adam.ts";
import type { RmspropOptions } from "./first-order/rmsprop.ts";
import type { SgdOptions } from "./first-order/sgd.ts";
import type { LbfgsOptions } from "./full-batch/lbfgs.ts";
import type { LevenbergMarquardtOptions } from "./full-batch/levenberg-marquardt.ts";
import type { MuonOptions } from "./matrix/muon.ts";
import type { ShampooOptions } from "./matrix/shampoo.ts";
import type { SoapOptions } from "./matrix/soap.ts";
import type { CarryingOptions } from "./natural/natural.ts";
import type {
  CustomMetricOptions,
  DirectOptions,
  EkfacOptions,
  ElementwiseOptions,
  HessianFreeOptions,
  KbfgsOptions,
  KfacOptions,
  LayerwiseOptions,
} from "./natural/presets.ts";

const momentum = everyKeyOf<SgdOptions>()(["learningRate", "momentum", "nesterov", "weightDecay"]);
const adaptive = everyKeyOf<AdamOptions>()(["learningRate", "beta1", "beta2", "epsilon", "weightDecay"]);
const rest = ["refreshEvery", "klClip", "stepRule"] as const;
const elementwise = everyKeyOf<ElementwiseOptions>()([...momentum, "damping", "fisher", ...rest]);
const direct = everyKeyOf<DirectOptions>()([...momentum, "damping", "fisher", "solver", ...rest]);
const carrying = everyKeyOf<CarryingOptions>()([...direct, "momentumRule"]);
const withoutFisher = [...momentum, "damping", ...rest] as const;
const matrixFree = [
  ...withoutFisher,
  ...(["iterations", "tolerance", "relativeProgress", "warmStart"] as const),
] as const;

export const optionNames = {
  sgd: momentum,
  rmsprop: everyKeyOf<RmspropOptions>()(["learningRate", "decay", "epsilon", "weightDecay"]),
  adam: adaptive,
  adamw: adaptive,
  muon: everyKeyOf<MuonOptions>()([...momentum, "iterations", "scale", "matrices", "adamLearningRate"]),
  shampoo: everyKeyOf<ShampooOptions>()([
    ...(["learningRate", "momentum", "weightDecay", "decay", "epsilon"] as const),
    ...(["refreshEvery", "grafting", "maxDimension"] as const),
  ]),
  soap: everyKeyOf<SoapOptions>()([...adaptive, "refreshEvery", "maxDimension", "oneSided"]),
  exactNgd: carrying,
  blockDiagonalNgd: carrying,
  tengrad: carrying,
  diagonalNgd: elementwise,
  quasiDiagonalNgd: elementwise,
  unitwiseNgd: direct,
  woodFisher: elementwise,
  layerwiseNgd: everyKeyOf<LayerwiseOptions>()([...direct, "sigma"]),
  blockTridiagonalNgd: direct,
  kbfgs: everyKeyOf<KbfgsOptions>()([...withoutFisher, "decay", "pairDecay", "powell", "memory"]),
  kfac: everyKeyOf<KfacOptions>()([
    ...elementwise,
    ...(["decay", "statisticsEvery", "form", "piDamping", "convolution"] as const),
  ]),
  ekfac: everyKeyOf<EkfacOptions>()([...elementwise, "decay", "scaleEvery", "convolution"]),
  hessianFree: everyKeyOf<HessianFreeOptions>()([...matrixFree, "preconditioner"]),
  customMetric: everyKeyOf<CustomMetricOptions>()([...matrixFree, "metric"]),
  lbfgs: everyKeyOf<LbfgsOptions>()(["learningRate", "memory", "lineSearch", "powell"]),
  levenbergMarquardt: everyKeyOf<LevenbergMarquardtOptions>()([
    ...(["learningRate", "damping", "scaling", "adaptation"] as const),
    ...(["acceleration", "retries", "solver"] as const),
  ]),
} as const;

export type MethodName = keyof typeof optionNames;

const ofAny: ReadonlySet<string> = new Set(Object.values(optionNames).flat());

/** @throws UsageError for an option that looks misspelt; those of other methods are ignored */
export function requireMethodOptions(name: MethodName, options: object): void {
  requireSpelling(options, optionNames[name], name, ofAny);
}
