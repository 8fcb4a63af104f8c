/**
 * What an experiment is: a figure or a table of a paper, done again by one command. It says what it tests and on which data, and
 * `run` brings back numbers, charts, tables, and for each claim of the paper what came out.
 *
 * A new one is a file here and a line of `registry.ts`.
 */

export interface Experiment {
  /** As typed: `karakida-fig1a`. */
  readonly id: string;
  readonly title: string;
  /** The paper in words, and its figure or table. */
  readonly source: string;
  /** One sentence: what is done. */
  readonly summary: string;
  /** What the paper claims, and what we do beside it; all that a run may judge. */
  readonly claims: readonly Claim[];
  /** Absent when it takes no data but what it draws itself. */
  readonly data?: ExperimentData;
  /** In words, as measured on two cores: `6 min`. */
  readonly duration: { readonly full: string; readonly quick: string };
  /**
   * Does it.
   *
   * @returns a finding for every claim; with `quick`, those that are not asserted of it may be left out
   */
  run(context: ExperimentContext): Promise<ExperimentResult>;
}

export interface Claim {
  /** Unique in the experiment: `one-step`. */
  readonly id: string;
  /** What the paper says, in a sentence; or what we say. */
  readonly claim: string;
  /** No claim of the paper's, but one that explains what came out; not counted with the paper's. */
  readonly ours?: true;
  /** Whether the test suite asserts it of `--quick`: always, where the datasets are, or not at all. */
  readonly quick: boolean | "with data";
}

export interface ExperimentData {
  /** Names of datasets, as `natgrad data list` has them. */
  readonly datasets: readonly string[];
  /** What takes their place with `--synthetic`, in words. */
  readonly synthetic: string;
}

export interface ExperimentContext {
  /** A smaller version, in seconds. */
  readonly quick: boolean;
  /** Take the stand-in for the datasets; no file is needed. */
  readonly synthetic: boolean;
  readonly seed: number;
  /** Aborted by Ctrl-C; `progress` checks it. */
  readonly signal: AbortSignal;
  /**
   * Says how far it is; to be awaited often, for it lets timers and signals in.
   *
   * @param fraction done, 0 to 1
   * @param text what is under way, in a few words
   * @throws when Ctrl-C came
   */
  progress(fraction: number, text: string): Promise<void>;
  /** A line that stays. */
  note(line: string): void;
}

export interface ExperimentResult {
  /** Everything measured: numbers, texts, lists, typed arrays, objects. What is not finite is written as a text. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly charts?: readonly ExperimentChart[];
  readonly tables?: readonly ExperimentTable[];
  readonly pictures?: readonly ExperimentPicture[];
  readonly claims: readonly Finding[];
}

/** What came out for a claim. */
export interface Finding {
  /** Of the {@link Claim}. */
  readonly id: string;
  /** A sentence with the numbers. */
  readonly measured: string;
  readonly agrees: boolean;
}

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
}

/** One color and name of a chart; at least one of the three. */
export interface ChartSeries {
  readonly label: string;
  /** Solid: theory. */
  readonly line?: readonly ChartPoint[];
  readonly dashed?: readonly ChartPoint[];
  /** Symbols without a line: training. */
  readonly points?: readonly ChartPoint[];
  /** Number of the color and symbol; default: the series' place in the chart. */
  readonly index?: number;
}

export interface ChartAxis {
  readonly label: string;
  readonly scale: "linear" | "log";
  /** Marks whole numbers only. */
  readonly integer?: boolean;
  /** Begins at zero when linear. */
  readonly fromZero?: boolean;
}

export interface ExperimentChart {
  /** Unique in the experiment, also the name of a file: `loss`. */
  readonly id: string;
  readonly title: string;
  /** What one must know to read it. */
  readonly note: string;
  readonly x: ChartAxis;
  readonly y: ChartAxis;
  readonly series: readonly ChartSeries[];
}

/** Anything that is no line chart. */
export interface ExperimentPicture {
  /** Unique in the experiment, also the name of a file. */
  readonly id: string;
  readonly title: string;
  readonly note: string;
  /**
   * An `<svg>` element with `width`, `height` and `viewBox` whose colors are `pagePalette`'s, as `drawHeatMap` and `drawPlane`
   * make it; its own id must begin with the experiment's.
   */
  readonly svg: string;
}

/** A table of texts; the first column names the rows. */
export interface ExperimentTable {
  readonly title: string;
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}
