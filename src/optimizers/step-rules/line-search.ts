/**
 * Line searches on a function of one variable, φ(α) = L(θ + αd), known by its values and slopes.
 *
 *   sufficient decrease    φ(α) ≤ φ(0) + c₁ α φ'(0)                 Nocedal & Wright, 2nd ed., eq. 3.7a
 *   strong curvature       |φ'(α)| ≤ c₂ |φ'(0)|                     eq. 3.7b
 *
 * {@link strongWolfe} finds a step with both by bracketing and zooming [Nocedal & Wright, algorithms 3.5 and 3.6] with
 * cubic interpolation [eq. 3.59]; {@link armijo} shrinks the first step until it has the first [algorithm 3.1, §3.5].
 *
 * | symbol | option               |
 * | ------ | -------------------- |
 * | c₁, c₂ | `sufficientDecrease`, `curvature` |
 * | α₁     | `initial`            |
 * | ε      | `rounding`           |
 *
 * Where values differ by no more than their rounding errors ε, sufficient decrease is told by the slopes, |φ(α) − φ(0)| ≤ ε
 * and φ'(α) ≤ (2c₁ − 1) φ'(0), the approximate Wolfe condition [Hager & Zhang 2005, SIAM J. Optim. 16]. Beyond
 * the books, a bracket that shrinks too slowly is bisected [Moré & Thuente 1994], and a point whose value is not
 * finite counts as infinitely high.
 */
import { requireOption } from "../../errors.ts";

/** φ and φ' at one step. */
export interface LinePoint {
  readonly step: number;
  readonly value: number;
  readonly slope: number;
}

type Evaluated<T> = T | Promise<T>;
/** Evaluates φ(α) and φ'(α). */
export type LineFunction = (step: number) => Evaluated<Pick<LinePoint, "value" | "slope">>;

export interface LineSearchOptions {
  /** α₁, the first step tried; default 1. */
  readonly initial?: number;
  /** Longest step; default 1e10. */
  readonly maximum?: number;
  /** c₁ in (0, 1); default 1e-4. */
  readonly sufficientDecrease?: number;
  /** c₂ in (c₁, 1); default 0.9. */
  readonly curvature?: number;
  /** Most evaluations of φ; default 25. */
  readonly evaluations?: number;
  /** ε, the rounding error of φ's values; default 0. */
  readonly rounding?: number;
}

/** How a search ended; all but the first mean that its conditions do not hold at the step returned. */
export type LineSearchStatus =
  | "ok"
  | "the loss or its slope is not finite at the start"
  | "not a descent direction"
  | "the longest step is not long enough"
  | "evaluation limit reached"
  | "no lower loss that rounding does not hide";

export interface LineSearchResult extends LinePoint {
  readonly status: LineSearchStatus;
  /** Evaluations of φ, that of step 0 not among them. */
  readonly evaluations: number;
}

/** One search under way: its conditions, its budget, and the best point so far. */
class Search {
  readonly start: LinePoint;
  readonly options: Required<LineSearchOptions>;
  readonly #evaluate: (step: number) => Evaluated<{ readonly value: number; readonly slope?: number }>;
  evaluations = 0;
  best: LinePoint;

  constructor(
    evaluate: (step: number) => Evaluated<{ readonly value: number; readonly slope?: number }>,
    start: Pick<LinePoint, "value" | "slope">,
    options: LineSearchOptions,
  ) {
    this.#evaluate = evaluate;
    this.start = { ...start, step: 0 };
    this.best = this.start;
    this.options = checkLineSearch(options);
  }

  /** Why the search need not begin, if there is a reason. */
  obstacle(): LineSearchStatus | undefined {
    const { value, slope } = this.start;
    if (!Number.isFinite(value) || !Number.isFinite(slope)) {
      return "the loss or its slope is not finite at the start";
    }
    return slope < 0 ? undefined : "not a descent direction";
  }

  get exhausted(): boolean {
    return this.evaluations >= this.options.evaluations;
  }

  async at(step: number): Promise<LinePoint> {
    this.evaluations++;
    const { value, slope } = await this.#evaluate(step);
    const finite = Number.isFinite(value) && (slope === undefined || Number.isFinite(slope));
    const point = {
      step,
      value: finite ? value : Infinity,
      slope: finite ? (slope ?? Number.NaN) : Number.NaN,
    };
    if (this.decreases(point) && (this.best.step === 0 || point.value < this.best.value)) this.best = point;
    return point;
  }

  /** Sufficient decrease, or what the slope says of it where the values cannot. */
  decreases({ step, value, slope }: LinePoint): boolean {
    const { sufficientDecrease, rounding } = this.options;
    if (value - this.start.value <= sufficientDecrease * step * this.start.slope) return true;
    const level = rounding > 0 && Math.abs(value - this.start.value) <= rounding;
    return level && slope <= (2 * sufficientDecrease - 1) * this.start.slope;
  }

  /** Whether a value is above another by more than rounding. */
  isAbove(point: LinePoint, other: LinePoint): boolean {
    return (
      point.value > other.value + Math.max(this.options.rounding, 4 * Number.EPSILON * Math.abs(other.value))
    );
  }

  /** Whether no step shorter than this can change the value at the start. */
  isLost(step: number): boolean {
    const { value, slope } = this.start;
    return -slope * step <= Math.max(1e-3 * this.options.rounding, Number.EPSILON * Math.abs(value));
  }

  /** Both Wolfe conditions. */
  satisfies(point: LinePoint): boolean {
    return this.decreases(point) && Math.abs(point.slope) <= -this.options.curvature * this.start.slope;
  }

  end(status: LineSearchStatus, point: LinePoint = this.best): LineSearchResult {
    return { ...point, status, evaluations: this.evaluations };
  }
}

/**
 * A step with sufficient decrease and strong curvature. Where none is found, the status says why and the step is the
 * best one seen with sufficient decrease, or 0.
 *
 * @param start φ(0) and φ'(0) < 0
 * @throws UsageError when an option is out of range
 */
export async function strongWolfe(
  evaluate: LineFunction,
  start: Pick<LinePoint, "value" | "slope">,
  options: LineSearchOptions = {},
): Promise<LineSearchResult> {
  const search = new Search(evaluate, start, options);
  const obstacle = search.obstacle();
  if (obstacle) return search.end(obstacle);
  const { initial, maximum } = search.options;
  let before = search.start;
  let step = Math.min(initial, maximum);
  while (!search.exhausted) {
    const point = await search.at(step);
    if (search.satisfies(point)) return search.end("ok", point);
    if (!search.decreases(point) || search.isAbove(point, before)) return zoom(search, before, point);
    if (point.slope >= 0) return zoom(search, point, before);
    if (step >= maximum) return search.end("the longest step is not long enough");
    step = Math.min(maximum, extrapolate(before, point));
    before = point;
  }
  return search.end("evaluation limit reached");
}

/**
 * Algorithm 3.6. Between `low` and `high` lie steps with both conditions; `low` has the lowest value of those seen with
 * sufficient decrease, and its slope points to `high`.
 */
async function zoom(search: Search, low: LinePoint, high: LinePoint): Promise<LineSearchResult> {
  let before = Infinity;
  let [from, to] = [low, high];
  while (!search.exhausted) {
    const width = Math.abs(to.step - from.step);
    const tiny = width <= 4 * Number.EPSILON * Math.max(from.step, to.step);
    if (tiny || (from.step === 0 && search.isLost(width))) {
      return search.end("no lower loss that rounding does not hide");
    }
    const slow = width > before / 2;
    before = width;
    const point = await search.at(slow ? (from.step + to.step) / 2 : interpolate(from, to));
    if (search.satisfies(point)) return search.end("ok", point);
    if (!search.decreases(point) || search.isAbove(point, from)) to = point;
    else {
      if (point.slope * (to.step - from.step) >= 0) to = from;
      from = point;
    }
  }
  return search.end("evaluation limit reached");
}

/**
 * A step with sufficient decrease, by backtracking from the first; slopes are read at the start alone.
 *
 * @param start φ(0) and φ'(0) < 0
 * @throws UsageError when an option is out of range
 */
export async function armijo(
  evaluate: (step: number) => Evaluated<Pick<LinePoint, "value">>,
  start: Pick<LinePoint, "value" | "slope">,
  options: LineSearchOptions = {},
): Promise<LineSearchResult> {
  const search = new Search(evaluate, start, options);
  const obstacle = search.obstacle();
  if (obstacle) return search.end(obstacle);
  const { initial, maximum } = search.options;
  let step = Math.min(initial, maximum);
  while (!search.exhausted) {
    const point = await search.at(step);
    if (search.decreases(point)) return search.end("ok", point);
    if (search.isLost(step)) return search.end("no lower loss that rounding does not hide");
    step = backtrack(search.start, point);
  }
  return search.end("evaluation limit reached");
}

/** The minimizer of the parabola through φ(0), φ'(0) and a point [eq. 3.58], kept in [0.1, 0.5] of its step. */
function backtrack({ value, slope }: LinePoint, point: LinePoint): number {
  const { step } = point;
  const minimizer = (-slope * step * step) / (2 * (point.value - value - slope * step));
  return Number.isFinite(point.value) ? clamp(minimizer, 0.1 * step, 0.5 * step) : 0.1 * step;
}

/** A step between two points, a hundredth of their distance from either; near the lower one where the other is infinite. */
function interpolate(low: LinePoint, high: LinePoint): number {
  const margin = 0.01 * Math.abs(high.step - low.step);
  const [left, right] = low.step < high.step ? [low.step, high.step] : [high.step, low.step];
  if (!Number.isFinite(high.value)) return low.step + 0.1 * (high.step - low.step);
  const minimizer = cubicMinimizer(low, high);
  return Number.isFinite(minimizer) ? clamp(minimizer, left + margin, right - margin) : (left + right) / 2;
}

/** A step beyond `point`, where the cubic through it and the one before has its minimum, 2 to 10 times as far. */
function extrapolate(before: LinePoint, point: LinePoint): number {
  const length = point.step - before.step;
  const minimizer = cubicMinimizer(before, point);
  const beyond = minimizer > point.step ? minimizer : Infinity;
  return clamp(beyond, point.step + length, point.step + 9 * length);
}

/** Where the cubic through two values and slopes has its minimum [eq. 3.59]; NaN where it has none. */
function cubicMinimizer(a: LinePoint, b: LinePoint): number {
  const length = b.step - a.step;
  const d1 = a.slope + b.slope - (3 * (b.value - a.value)) / length;
  const d2 = Math.sign(length) * Math.sqrt(d1 * d1 - a.slope * b.slope);
  return b.step - (length * (b.slope + d2 - d1)) / (b.slope - a.slope + 2 * d2);
}

function clamp(value: number, minimum: number, maximum: number): number {
  return Math.min(maximum, Math.max(minimum, value));
}

function checkLineSearch(options: LineSearchOptions): Required<LineSearchOptions> {
  const { initial = 1, maximum = 1e10, sufficientDecrease = 1e-4, curvature = 0.9 } = options;
  const { evaluations = 25, rounding = 0 } = options;
  requireOption(initial > 0 && Number.isFinite(initial), "initial", initial, "> 0");
  requireOption(maximum > 0, "maximum", maximum, "> 0");
  const decreaseValid = sufficientDecrease > 0 && sufficientDecrease < 1;
  requireOption(decreaseValid, "sufficientDecrease", sufficientDecrease, "in (0, 1)");
  const curvatureValid = curvature > 0 && curvature < 1;
  requireOption(curvatureValid, "curvature", curvature, "in (0, 1)");
  requireOption(
    Number.isInteger(evaluations) && evaluations > 0,
    "evaluations",
    evaluations,
    "a positive integer",
  );
  requireOption(rounding >= 0, "rounding", rounding, ">= 0");
  return { initial, maximum, sufficientDecrease, curvature, evaluations, rounding };
}
