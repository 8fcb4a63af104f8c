/** Every optimizer by name: what the command line lists, compares and tunes. Adding a method adds one entry. */
import { nearest, requireKnown, UsageError } from "../errors.ts";
import { type AdamOptions, adam, adamw } from "./first-order/adam.ts";
import { type RmspropOptions, rmsprop } from "./first-order/rmsprop.ts";
import { type SgdOptions, sgd } from "./first-order/sgd.ts";
import { type LbfgsOptions, lbfgs } from "./full-batch/lbfgs.ts";
import { type LevenbergMarquardtOptions, levenbergMarquardt } from "./full-batch/levenberg-marquardt.ts";
import { type MuonOptions, muon } from "./matrix/muon.ts";
import { type ShampooOptions, shampoo } from "./matrix/shampoo.ts";
import { type SoapOptions, soap } from "./matrix/soap.ts";
import type { CarryingOptions } from "./natural/natural.ts";
import {
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
import type { Optimizer } from "./optimizer.ts";
import { type MethodName, optionNames } from "./option-names.ts";

export type MethodOptions = Readonly<Record<string, unknown>>;

export interface MethodInfo {
  readonly name: MethodName;
  /** `"preconditioned"` is between the two: the gradient and statistics of nothing but gradients. */
  readonly kind: "first-order" | "preconditioned" | "natural" | "full-batch";
  /** The only likelihood it is for; any where left out. */
  readonly likelihood?: "gaussian";
  /** One line: what it does. */
  readonly summary: string;
  /** Where it comes from. */
  readonly reference: string;
  /** Names of the options it takes. */
  readonly options: readonly string[];
  /** Whether its steps take ten times as long as others' on small networks: the demo leaves it out. */
  readonly costly?: boolean;
  /** Options used where the user gives none. */
  readonly defaults: MethodOptions;
  /** What the command line puts in their place for convolutional networks (bench/image-defaults.ts). */
  readonly imageDefaults?: MethodOptions;
  create(options: MethodOptions): Optimizer;
}

export const methods: readonly MethodInfo[] = [
  {
    name: "sgd",
    kind: "first-order",
    summary: "stochastic gradient descent with momentum",
    reference: "Sutskever et al. 2013",
    options: optionNames.sgd,
    defaults: { learningRate: 0.1, momentum: 0.9 },
    create: (options) => sgd(options as unknown as SgdOptions),
  },
  {
    name: "rmsprop",
    kind: "first-order",
    summary: "gradient divided by its running root mean square",
    reference: "Tieleman & Hinton 2012",
    options: optionNames.rmsprop,
    defaults: { learningRate: 0.01 },
    create: (options) => rmsprop(options as unknown as RmspropOptions),
  },
  {
    name: "adam",
    kind: "first-order",
    summary: "momentum divided by the running root mean square",
    reference: "Kingma & Ba 2015",
    options: optionNames.adam,
    defaults: { learningRate: 0.01 },
    imageDefaults: { learningRate: 0.003 },
    create: (options) => adam(options as unknown as AdamOptions),
  },
  {
    name: "adamw",
    kind: "first-order",
    summary: "Adam with decoupled weight decay",
    reference: "Loshchilov & Hutter 2019",
    options: optionNames.adamw,
    defaults: { learningRate: 0.01 },
    create: (options) => adamw(options as unknown as AdamOptions),
  },
  {
    name: "muon",
    kind: "preconditioned",
    summary: "momentum of hidden weight matrices, orthogonalized; AdamW for the rest",
    reference: "Jordan et al. 2024; Liu et al. 2025",
    options: optionNames.muon,
    defaults: { learningRate: 0.01, scale: "rms" },
    create: (options) => muon(options as unknown as MuonOptions),
  },
  {
    name: "shampoo",
    kind: "preconditioned",
    summary: "gradient between inverse roots of the covariances of its rows and columns",
    reference: "Gupta et al. 2018; Anil et al. 2020",
    options: optionNames.shampoo,
    defaults: { learningRate: 0.1 },
    create: (options) => shampoo(options as unknown as ShampooOptions),
  },
  {
    name: "soap",
    kind: "preconditioned",
    summary: "Adam in the eigenbasis of Shampoo",
    reference: "Vyas et al. 2024",
    options: optionNames.soap,
    defaults: { learningRate: 0.01 },
    create: (options) => soap(options as unknown as SoapOptions),
  },
  {
    name: "exactNgd",
    kind: "natural",
    summary: "full Fisher matrix, all layers coupled",
    reference: "Amari 1998; Karakida & Osawa 2020",
    options: optionNames.exactNgd,
    defaults: { learningRate: 0.3, damping: 0.01 },
    create: (options) => exactNgd(options as unknown as CarryingOptions),
  },
  {
    name: "blockDiagonalNgd",
    kind: "natural",
    summary: "one exact Fisher block for each layer",
    reference: "Shrestha 2023; Karakida & Osawa 2020",
    options: optionNames.blockDiagonalNgd,
    defaults: { learningRate: 0.3, damping: 0.01 },
    create: (options) => blockDiagonalNgd(options as unknown as CarryingOptions),
  },
  {
    name: "tengrad",
    kind: "natural",
    summary: "exact blocks of the empirical Fisher by covariance factorization",
    reference: "Soori et al. 2021",
    options: optionNames.tengrad,
    defaults: { learningRate: 0.03, damping: 0.1, momentum: 0.9 },
    imageDefaults: { learningRate: 0.1, damping: 1 },
    create: (options) => tengrad(options as unknown as CarryingOptions),
  },
  {
    name: "diagonalNgd",
    kind: "natural",
    summary: "diagonal of the Fisher matrix",
    reference: "Amari 1998; Karakida & Osawa 2020",
    options: optionNames.diagonalNgd,
    defaults: { learningRate: 0.1, damping: 0.1 },
    create: (options) => diagonalNgd(options as unknown as ElementwiseOptions),
  },
  {
    name: "quasiDiagonalNgd",
    kind: "natural",
    summary: "diagonal, and each unit's coupling of bias and weights",
    reference: "Ollivier 2015",
    options: optionNames.quasiDiagonalNgd,
    defaults: { learningRate: 0.1, damping: 0.1 },
    create: (options) => quasiDiagonalNgd(options as unknown as ElementwiseOptions),
  },
  {
    name: "unitwiseNgd",
    kind: "natural",
    summary: "one exact Fisher block for each unit",
    reference: "Karakida & Osawa 2020",
    options: optionNames.unitwiseNgd,
    defaults: { learningRate: 0.1, damping: 0.01 },
    create: (options) => unitwiseNgd(options as unknown as DirectOptions),
  },
  {
    name: "woodFisher",
    kind: "natural",
    costly: true,
    summary: "tengrad's blocks, inverted by rank-one updates",
    reference: "Singh & Alistarh 2020",
    options: optionNames.woodFisher,
    defaults: { learningRate: 0.03, damping: 0.1 },
    create: (options) => woodFisher(options as unknown as ElementwiseOptions),
  },
  {
    name: "layerwiseNgd",
    kind: "natural",
    costly: true,
    summary: "exact blocks of layers and of pairs of layers, weighted by a matrix",
    reference: "Karakida & Osawa 2020",
    options: optionNames.layerwiseNgd,
    defaults: { learningRate: 0.3, damping: 1 },
    create: (options) => layerwiseNgd(options as unknown as LayerwiseOptions),
  },
  {
    name: "blockTridiagonalNgd",
    kind: "natural",
    costly: true,
    summary: "exact blocks of layers and of neighbouring layers",
    reference: "Karakida & Osawa 2020",
    options: optionNames.blockTridiagonalNgd,
    defaults: { learningRate: 0.3, damping: 1 },
    create: (options) => blockTridiagonalNgd(options as unknown as DirectOptions),
  },
  {
    name: "kbfgs",
    kind: "natural",
    summary: "Kronecker factors of the inverse Hessian by BFGS",
    reference: "Goldfarb et al. 2020",
    options: optionNames.kbfgs,
    defaults: { learningRate: 0.1, damping: 0.3, momentum: 0.9 },
    create: (options) => kbfgs(options as unknown as KbfgsOptions),
  },
  {
    name: "kfac",
    kind: "natural",
    summary: "Kronecker product of two small matrices for each layer",
    reference: "Martens & Grosse 2015",
    options: optionNames.kfac,
    defaults: { learningRate: 0.1, damping: 0.003 },
    imageDefaults: { learningRate: 0.03, damping: 0.3, momentum: 0.9, refreshEvery: 10 },
    create: (options) => kfac(options as unknown as KfacOptions),
  },
  {
    name: "ekfac",
    kind: "natural",
    summary: "diagonal in the eigenbasis of K-FAC",
    reference: "George et al. 2018",
    options: optionNames.ekfac,
    defaults: { learningRate: 0.03, damping: 0.003 },
    create: (options) => ekfac(options as unknown as EkfacOptions),
  },
  {
    name: "hessianFree",
    kind: "natural",
    costly: true,
    summary: "exact Fisher matrix by conjugate gradients on its products with vectors",
    reference: "Martens 2010; Johnson 2017",
    options: optionNames.hessianFree,
    defaults: { learningRate: 0.3, damping: 0.01 },
    create: (options) => hessianFree(options as unknown as HessianFreeOptions),
  },
  {
    name: "customMetric",
    kind: "natural",
    costly: true,
    summary: "a divergence of the outputs, by default Gauss-Newton's, as the metric",
    reference: "Johnson 2017",
    options: optionNames.customMetric,
    defaults: { learningRate: 0.3, damping: 0.01 },
    create: (options) => customMetric(options as unknown as CustomMetricOptions),
  },
  {
    name: "lbfgs",
    kind: "full-batch",
    summary: "inverse Hessian by the last steps, with a line search; for full batches",
    reference: "Liu & Nocedal 1989",
    options: optionNames.lbfgs,
    defaults: { learningRate: 1 },
    create: (options) => lbfgs(options as unknown as LbfgsOptions),
  },
  {
    name: "levenbergMarquardt",
    kind: "full-batch",
    likelihood: "gaussian",
    summary: "least squares by the Jacobian, damped, with geodesic acceleration; for full batches",
    reference: "Marquardt 1963; Transtrum & Sethna 2012",
    options: optionNames.levenbergMarquardt,
    defaults: { learningRate: 1, damping: 0.01 },
    create: (options) => levenbergMarquardt(options as unknown as LevenbergMarquardtOptions),
  },
];

/** @throws UsageError with the nearest name when there is no such method */
export function findMethod(name: string): MethodInfo {
  const found = methods.find((method) => method.name.toLowerCase() === name.toLowerCase());
  if (found) return found;
  const names = methods.map((method) => method.name);
  const suggestion = nearest(name, names);
  const hint = suggestion ? `did you mean ${suggestion}?` : `known: ${names.join(", ")}`;
  throw new UsageError(`unknown optimizer: ${name} (${hint})`);
}

/**
 * An optimizer by name, its defaults filled in.
 *
 * @throws UsageError for an unknown name, an option that the method does not take or a value out of range
 */
export function createOptimizer(name: string, options: MethodOptions = {}): Optimizer {
  const method = findMethod(name);
  requireKnown(options, method.options, method.name);
  return method.create({ ...method.defaults, ...options });
}
