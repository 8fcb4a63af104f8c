/** Layers with branches: sums and concatenations of chains. */
import { requireOption } from "../errors.ts";
import { add, concatenate } from "../graph/index.ts";
import { formatShape, sameShape } from "../tensor.ts";
import { applyChain, buildChain, prefixed, within } from "./chain.ts";
import type { BuiltLayer, Layer } from "./layer.ts";

/**
 * A residual block [He et al. 2016]: body(x) + shortcut(x), the identity by default. Parameters are named `"body.k.name"` and
 * `"shortcut.k.name"`.
 */
export function residual(body: readonly Layer[], shortcut: readonly Layer[] = []): Layer {
  requireOption(body.length > 0, "residual body", "[]", "a list of at least one layer");
  const chains = { body, shortcut };
  return {
    type: "residual",
    describe: () => `residual(${describe(body)}${shortcut.length > 0 ? ` + ${describe(shortcut)}` : ""})`,
    build(inputShape) {
      const built = buildBranches(chains, inputShape);
      const [left, right] = built.map(({ outputShape }) => outputShape);
      requireOption(
        sameShape(left, right),
        "residual body",
        formatShape(left),
        `the shortcut's shape, ${formatShape(right)}`,
      );
      return merged(built, left);
    },
    apply(x, parameters, trace) {
      const [left, right] = Object.entries(chains).map(([name, layers]) =>
        applyChain(layers, x, within(parameters, name), trace.within(name)),
      );
      return add(left, right);
    },
  };
}

/**
 * The outputs of several chains one after another along the channels; an empty chain passes its input on, so that
 * `concat([[], layers])` is a layer of a dense block [Huang et al. 2017]. Parameters are named `"branch.k.name"`.
 */
export function concat(branches: readonly (readonly Layer[])[]): Layer {
  requireOption(branches.length > 1, "concat branches", branches.length, "two or more");
  const chains = Object.fromEntries(branches.map((layers, index) => [String(index), layers]));
  return {
    type: "concat",
    describe: () => `concat(${branches.map((layers) => describe(layers) || "identity").join(", ")})`,
    build(inputShape) {
      const built = buildBranches(chains, inputShape);
      const [first, ...others] = built.map(({ outputShape }) => outputShape);
      for (const other of others) {
        requireOption(
          sameShape(other.slice(1), first.slice(1)),
          "concat branch",
          formatShape(other),
          `the size of the first branch, ${formatShape(first)}`,
        );
      }
      const channels = built.reduce((total, { outputShape }) => total + outputShape[0], 0);
      return merged(built, [channels, ...first.slice(1)]);
    },
    apply: (x, parameters, trace) =>
      concatenate(
        Object.entries(chains).map(([name, layers]) =>
          applyChain(layers, x, within(parameters, name), trace.within(name)),
        ),
        1,
      ),
  };
}

type Chains = Readonly<Record<string, readonly Layer[]>>;

function buildBranches(chains: Chains, inputShape: readonly number[]): Required<BuiltLayer>[] {
  return Object.entries(chains).map(([name, layers]) => {
    const { outputShape, parameters, buffers } = buildChain(layers, inputShape);
    return { outputShape, parameters: prefixed(parameters, name), buffers: prefixed(buffers, name) };
  });
}

function merged(built: readonly Required<BuiltLayer>[], outputShape: readonly number[]): BuiltLayer {
  return {
    outputShape,
    parameters: Object.assign({}, ...built.map(({ parameters }) => parameters)),
    buffers: Object.assign({}, ...built.map(({ buffers }) => buffers)),
  };
}

function describe(layers: readonly Layer[]): string {
  return layers.map((layer) => layer.describe()).join(" → ");
}
