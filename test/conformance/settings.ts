/** What the parts of the suite over all methods share: options, who takes them, and a network. */
import { findMethod } from "../../src/index.ts";
import { type LikelihoodName, type Network, networkOf, solversOf } from "./networks.ts";

export type Options = Readonly<Record<string, unknown>>;

export const levenbergMarquardt = { policy: "levenberg-marquardt", initial: 0.1, every: 2 };
export const monteCarlo = { type: "monte-carlo", samples: 2 };

/** Whether a method has all of some options. */
export const takes = (name: string, options: Options) =>
  Object.keys(options).every((option) => findMethod(name).options.includes(option)) &&
  (options.solver === undefined || solversOf(name).includes(options.solver as string));

/** Those of some options that a method has. */
export const taken = (name: string, options: Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([option]) => findMethod(name).options.includes(option)));

export const small = (likelihood: LikelihoodName, seed = 1): Network =>
  networkOf({
    ...{ features: 3, hidden: [4], outputs: 2, bias: true, activation: "tanh", samples: 6 },
    ...{ likelihood, seed },
  });
