/** The table of options on a method's page: what each means and is by default, and what it must be: what the method itself says of bad values, or words of its own. */
import { findMethod } from "../../src/optimizers/index.ts";
import { markdownTable } from "../methods/markdown.ts";

/** A default that is no single value. */
interface Words {
  readonly words: string;
}

interface OptionText {
  /** Of the function itself; the command line's are in the registry. None where left out. */
  readonly default?: number | boolean | string | Words;
  readonly meaning: string;
  /** What it must be, where the answer to one bad value would not say all of it. */
  readonly must?: string;
}

const text = (words: string): Words => ({ words });

const RATE = String.raw`$\eta$, a number or a [schedule](../mathematics.md#schedules)`;
const DIRECT = '`"gram"`: sample space, `"dense"`: parameter space, `"auto"`: the smaller';
const DECOUPLED = "$w$, decoupled from the gradient";
/** Of the damping, for methods that take no Fisher type. */
const WITHOUT_FISHER = "> 0; with `refreshEvery` 1 also 0, where no block is singular";
const DIVISOR = "a positive integer that divides `refreshEvery`";
const PENALTY = "factor of an L2 penalty, added to the gradient";

/** What an option is for most of the methods that have it. */
const common: Readonly<Record<string, OptionText>> = {
  learningRate: { default: 0.1, meaning: `${RATE}; 1 is a full natural-gradient step` },
  weightDecay: { default: 0, meaning: String.raw`$w$, added to the direction as $w\theta$` },
  momentum: { default: 0, meaning: String.raw`$\mu$` },
  refreshEvery: { default: 1, meaning: "steps between refreshes of the curvature" },
  nesterov: { default: false, meaning: "look ahead along the velocity; needs momentum" },
  damping: {
    default: 0.01,
    meaning:
      '$\\lambda$, a number or `{ policy: "levenberg-marquardt", initial, every, factor, minimum, maximum }` (5, 19/20, 1e-12, 1e6)',
    must: "> 0; with `refreshEvery` 1 and a Fisher type other than `monte-carlo` also 0, where no block is singular",
  },
  klClip: {
    meaning: String.raw`$\kappa$, bounds $\eta^2\langle\delta\theta, g\rangle$, twice the KL divergence of a step to second order`,
  },
  stepRule: {
    default: "given",
    meaning:
      '`"quadratic-model"`, or `{ coefficients, trustRegion, lineSearch, rejectIncrease }`: [step rules](../step-rules.md)',
  },
  fisher: {
    default: "exact",
    meaning: '[whose score rows](../mathematics.md); `{ type: "monte-carlo", samples }` draws several times',
  },
  solver: {
    default: "auto",
    meaning:
      '`"gram"`: sample space, `"dense"`: parameter space, `"auto"`: the smaller; or `{ type: "cg", iterations, tolerance, warmStart }` (250; 1e-5 in float32, 1e-10 in float64; 0.95)',
  },
  epsilon: { default: 1e-8, meaning: String.raw`$\varepsilon$, added to the root` },
  decay: {
    default: 0.95,
    meaning: String.raw`bound of $\varepsilon$; 0 takes the factors of the last batch alone`,
  },
  beta1: { default: 0.9, meaning: String.raw`$\beta_1$` },
  beta2: { default: 0.999, meaning: String.raw`$\beta_2$` },
  momentumRule: {
    default: "heavy-ball",
    meaning:
      '`"spring"`: the last direction enters the least-squares problem, [SPRING](../step-rules.md#springs-momentum); $\\mu$ is then 0.99 by default',
  },
  iterations: {
    default: 250,
    meaning:
      "most products with the matrix in a solve; a solve that reaches it is used and named in the status",
  },
  tolerance: { default: text("1e-5 in float32, 1e-10 in float64"), meaning: "relative residual to stop at" },
  relativeProgress: { meaning: String.raw`$\varepsilon$ of the relative-progress test; 5e-4 in [Martens10]` },
  warmStart: { default: 0.95, meaning: "factor on the last solution as the starting point" },
  powell: {
    default: true,
    meaning:
      "damp the pairs; with `false` a pair with $s^\\top y \\le 0$ is left out, and the status says so",
  },
  memory: { meaning: "pairs kept of each $H_g$; the paper's 100" },
  maxDimension: { default: 1200, meaning: "longer sides keep diagonals" },
  metric: { default: "euclidean", meaning: "see above; the functions work on `natgrad/graph` tensors" },
  scaleEvery: {
    default: 1,
    meaning: "steps between refreshes of the scale and of $A$ and $G$",
    must: DIVISOR,
  },
  preconditioner: {
    default: "none",
    meaning:
      '`"diagonal"`: $(\\operatorname{diag} F + \\lambda)^{3/4}$, which takes the score rows that the solve itself does without',
  },
  pairDecay: { default: 0.9, meaning: "moving average of $s$ and $y$ of $H_g$" },
  statisticsEvery: {
    default: 1,
    meaning: "steps between updates of the averages",
    must: DIVISOR,
  },
  form: {
    default: "inverse",
    meaning: '`"eigen"`: $G \\otimes A + \\lambda I$ itself, in the eigenbasis of both factors',
  },
  convolution: {
    default: "expand",
    meaning: '`"reduce"`: one row of a convolution\'s factors for each sample, not for each position',
  },
  piDamping: { default: true, meaning: "with `false`, $\\pi = 1$; the eigen form has no $\\pi$" },
  sigma: {
    default: "tridiagonal",
    meaning:
      '$\\Sigma$: `"identity"`, `"tridiagonal"`, `"ones"` or a symmetric array with a row for each layer with parameters',
  },
  lineSearch: {
    default: "strong-wolfe",
    meaning:
      '`"armijo"`: backtracking until the loss falls enough; `"none"`: every step is `learningRate` long',
  },
  scaling: {
    default: "identity",
    meaning:
      '$D$; `"diagonal"`: Marquardt\'s $\\operatorname{diag}(J^\\top J)/N$, for which the scale of each parameter does not matter',
  },
  adaptation: { default: "gain-ratio", meaning: 'or `"delayed-gratification"`' },
  acceleration: { default: 0.75, meaning: String.raw`$\alpha$; 0: none` },
  retries: {
    default: 10,
    meaning:
      "how often a step is tried again; then it is rejected, and the next begins with the damping reached",
  },
  scale: { default: "spectral", meaning: String.raw`$\rho$, see above` },
  matrices: {
    default: "hidden",
    meaning: '`"hidden"`: weights between the first and the last layer; `"all"`: every weight matrix',
  },
  adamLearningRate: {
    default: text('0.01; with `"rms"` that of the matrices'),
    meaning: "AdamW's rate, a number or a schedule",
  },
  grafting: { default: "none", meaning: 'whose step length is taken: `"none"`, `"sgd"`, `"adam"`' },
  oneSided: { default: false, meaning: "rotate only the shorter side of each matrix" },
};

/** Where a method has it otherwise. */
const own: Readonly<Record<string, Readonly<Record<string, Partial<OptionText>>>>> = {
  adam: {
    learningRate: { default: 0.01, meaning: RATE },
    weightDecay: { meaning: PENALTY },
  },
  adamw: {
    learningRate: { default: 0.01, meaning: RATE },
    weightDecay: { default: 0.01, meaning: DECOUPLED },
  },
  blockDiagonalNgd: {
    learningRate: { default: 0.3 },
  },
  blockTridiagonalNgd: {
    solver: { meaning: DIRECT },
    learningRate: { default: 0.3 },
    damping: { default: 1 },
  },
  customMetric: {
    learningRate: { default: 0.3 },
    damping: { must: WITHOUT_FISHER },
    refreshEvery: { meaning: "steps for which the matrix stays that of one batch and its parameters" },
    klClip: { meaning: String.raw`$\kappa$, bounds $\eta^2\langle\delta\theta, g\rangle$` },
  },
  diagonalNgd: {
    damping: { default: 0.1 },
  },
  ekfac: {
    learningRate: { default: 0.03 },
    damping: { default: 0.003 },
    fisher: { default: "monte-carlo" },
    refreshEvery: { meaning: "steps between refreshes of the basis" },
  },
  exactNgd: {
    learningRate: { default: 0.3 },
  },
  hessianFree: {
    learningRate: { default: 0.3 },
    damping: { must: WITHOUT_FISHER },
    refreshEvery: { meaning: "steps for which the matrix stays that of one batch and its parameters" },
  },
  kbfgs: {
    learningRate: { meaning: RATE },
    damping: { default: 0.3, must: WITHOUT_FISHER },
    decay: { default: 0.9, meaning: String.raw`$\beta$ of $A$` },
    refreshEvery: { meaning: "steps between updates of $H_a$ and $H_g$" },
    klClip: { meaning: String.raw`$\kappa$, bounds $\eta^2\langle\delta\theta, g\rangle$` },
  },
  kfac: {
    damping: { default: 0.003 },
    fisher: { default: "monte-carlo" },
    refreshEvery: { meaning: "steps between inversions" },
  },
  layerwiseNgd: {
    solver: { meaning: DIRECT },
    learningRate: { default: 0.3 },
    damping: { default: 1 },
  },
  lbfgs: {
    learningRate: {
      default: 1,
      meaning:
        "the first step tried, or every step without a line search; a number or a [schedule](../mathematics.md#schedules)",
    },
    memory: { default: 10, meaning: "$m$, the pairs kept" },
    powell: {
      default: false,
      meaning: String.raw`damps pairs: $y$ moves towards $-\alpha g$, so that $s^\top y \ge 0.2\thinspace s^\top B s$, $B = H^{-1}$; without it, a pair with $s^\top y \le 0$ is left out and the status says so`,
    },
  },
  levenbergMarquardt: {
    learningRate: { default: 1, meaning: `${RATE}; 1 is the full step` },
    damping: {
      meaning:
        "$\\lambda$ of the first step; it adapts from there, and `damping` in the statistics is the one used",
      must: "a number > 0",
    },
    solver: { meaning: DIRECT },
  },
  muon: {
    learningRate: {
      default: 0.02,
      meaning: String.raw`$\eta$ of the matrices, a number or a [schedule](../mathematics.md#schedules)`,
    },
    momentum: { default: 0.95 },
    nesterov: { default: true, meaning: "look ahead along the velocity; else $U = V$" },
    weightDecay: { meaning: "$w$, decoupled from the gradient, of AdamW's parameters too" },
    iterations: { default: 5, meaning: "Newton-Schulz iterations" },
  },
  quasiDiagonalNgd: {
    damping: { default: 0.1 },
  },
  rmsprop: {
    learningRate: { default: 0.01, meaning: RATE },
    decay: { default: 0.99, meaning: String.raw`$\rho$` },
    weightDecay: { meaning: PENALTY },
  },
  sgd: {
    learningRate: { meaning: RATE },
    weightDecay: { meaning: "$w$, the factor of an L2 penalty" },
  },
  shampoo: {
    learningRate: { meaning: RATE },
    momentum: { meaning: String.raw`$\mu$, of preconditioned gradients` },
    decay: {
      default: 1,
      meaning: String.raw`1 accumulates; $\beta < 1$: $X \leftarrow \beta X + (1-\beta) X_{new}$, divided by $1 - \beta^t$ when it is read`,
    },
    epsilon: { default: 1e-4, meaning: String.raw`$\varepsilon$, added to the statistics` },
    refreshEvery: {
      meaning: "steps between roots; before the first such period also at steps 1, 2, 4, 8, …",
    },
  },
  soap: {
    learningRate: { default: 0.003, meaning: RATE },
    beta1: { default: 0.95 },
    beta2: { default: 0.95, meaning: String.raw`$\beta_2$, of $s$, $L$ and $R$` },
    weightDecay: { meaning: DECOUPLED },
    refreshEvery: { default: 10, meaning: "steps between refreshes of the basis" },
    maxDimension: { meaning: "longer sides are not rotated" },
  },
  tengrad: {
    learningRate: { default: 0.03 },
    damping: { default: 0.1 },
    fisher: { default: "empirical" },
  },
  unitwiseNgd: {
    solver: { meaning: DIRECT },
  },
  woodFisher: {
    learningRate: { default: 0.03 },
    damping: { default: 0.1 },
    fisher: { default: "empirical" },
  },
};

/** What an option of a method is. @throws Error when nothing is written about it */
export function optionText(method: string, option: string): OptionText {
  const known = common[option];
  if (!known) throw new Error(`bench/pages/options.ts says nothing of ${option}, an option of ${method}`);
  return { ...known, ...own[method]?.[option] };
}

/** The table of a method's options. */
export function optionsTable(method: string): string {
  const { options, defaults } = findMethod(method);
  const rows = options.map((option) => {
    const { default: value, meaning, must = requirement(method, option) } = optionText(method, option);
    const onCommandLine = defaults[option];
    const differs = onCommandLine !== undefined && onCommandLine !== value;
    const shown = differs ? `${show(value)}; ${show(onCommandLine)} on the command line` : show(value);
    return [`\`${option}\``, shown, must, meaning];
  });
  return markdownTable(
    ["option", "default", "must be", "meaning"],
    rows.map((cells) => cells.map((cell) => cell.replaceAll(/(?<!\\)\|/g, "\\|"))),
    ["default", "must be", "meaning"],
  );
}

function show(value: unknown): string {
  if (value === undefined) return "none";
  if (typeof value === "number") return String(value);
  return typeof value === "object" ? (value as Words).words : `\`${JSON.stringify(value)}\``;
}

/** What the method answers to a value that no option takes: `> 0` of "invalid klClip: -1 (must be > 0)". */
function requirement(method: string, option: string): string {
  const { create } = findMethod(method);
  try {
    create({ [option]: -1 });
  } catch (error) {
    const [, words] = /\(must be (.*)\)$/s.exec((error as Error).message) ?? [];
    if (words !== undefined) return accepted(words.split(" | "), (value) => create({ [option]: value }));
  }
  throw new Error(`${method} takes -1 for ${option}, or does not say what it must be`);
}

/** Of several words those that are indeed taken. */
function accepted(words: readonly string[], take: (value: string) => unknown): string {
  const isWord = (word: string) => /^[a-z-]+$/.test(word);
  const taken = words.filter((word) => {
    if (!isWord(word)) return true;
    try {
      take(word);
      return true;
    } catch {
      return false;
    }
  });
  return taken.map((word) => (words.length > 1 && isWord(word) ? `\`"${word}"\`` : word)).join(" | ");
}
