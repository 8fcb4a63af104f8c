/** The figures of docs/choosing.md: which method the results speak for, aim by aim. */
import { findMethod } from "../../src/optimizers/index.ts";
import { markdownTable, percent, times } from "./markdown.ts";
import type { Results } from "./results.ts";
import { type Combination, combine, type Standing, standings } from "./summary.ts";

/** The tables that stand between the marks of the page. */
export function choosingTables(results: Results): string {
  const combinations = combine(results);
  const { trials, steps } = results.plan;
  const tasks = new Set(combinations.map(({ task }) => task)).size;
  const networks = new Set(combinations.map(({ network }) => network)).size;
  return `Measured on ${count(tasks, "task")} with ${count(networks, "network")}, ${trials} settings tried and up to ${steps} steps for each method ([all tables](results.md)):

${aims(standings(combinations))}

${parts(combinations)}`;
}

/** What somebody wants, and how a method's standing on that reads. */
interface Aim {
  readonly want: string;
  /** Who is asked, given all standings by mean place; default everybody. */
  readonly among?: (one: Standing, all: readonly Standing[]) => boolean;
  /** The lowest wins. */
  readonly value: (one: Standing) => number;
  readonly evidence: (one: Standing) => string;
}

const place = (one: Standing) =>
  `mean place ${one.rank.toFixed(1)}, first in ${one.wins} of ${one.combinations}`;
const isFirstOrder = ({ method }: Standing) => findMethod(method).kind === "first-order";

const aimList: readonly Aim[] = [
  { want: "the lowest held-out loss, whatever a step costs", value: ({ rank }) => rank, evidence: place },
  {
    want: "the same for steps of at most four times SGD's",
    among: ({ stepCost }) => stepCost <= 4,
    value: ({ rank }) => rank,
    evidence: (one) => `${place(one)}, a step costs ${times(one.stepCost)}`,
  },
  { want: "the same by first-order steps", among: isFirstOrder, value: ({ rank }) => rank, evidence: place },
  {
    want: "the lowest training loss",
    value: ({ trainRank }) => trainRank,
    evidence: (one) => `mean place ${one.trainRank.toFixed(1)}`,
  },
  {
    want: "to be where Adam ends, soonest",
    among: ({ method, reached, combinations }) => method !== "adam" && reached >= combinations / 2,
    value: ({ timeToAdam }) => (Number.isFinite(timeToAdam) ? timeToAdam : Infinity),
    evidence: (one) =>
      `${times(one.timeToAdam)} Adam's time, gets there in ${one.reached} of ${one.combinations}`,
  },
  {
    want: "little tuning, among the better half",
    among: (one, all) => all.indexOf(one) < all.length / 2,
    value: ({ near }) => -near,
    evidence: (one) => `${percent(one.near)} of the settings end near its best, ${place(one)}`,
  },
];

function aims(all: readonly Standing[]): string {
  const rows = aimList.flatMap(({ want, among = () => true, value, evidence }) => {
    const candidates = all.filter((one) => among(one, all));
    if (candidates.length === 0) return [];
    const [first, second] = [...candidates].sort((a, b) => value(a) - value(b));
    return [[want, linked(first), evidence(first), second ? `${linked(second)}: ${evidence(second)}` : ""]];
  });
  const headings = ["you want", "take", "measured", "next"];
  return markdownTable(headings, rows, headings);
}

/** The best three of each task and of each size of network. */
function parts(combinations: readonly Combination[]): string {
  const group = (name: (one: Combination) => string) =>
    [...new Set(combinations.map(name))].map((value): string[] => {
      const own = standings(combinations.filter((one) => name(one) === value));
      const best = own.slice(0, 3).map((one) => `${linked(one)} (${one.rank.toFixed(1)})`);
      const adam = own.findIndex(({ method }) => method === "adam");
      const adamPlace = adam < 0 ? "" : `${adam + 1} of ${own.length} (${own[adam].rank.toFixed(1)})`;
      return [value, best.join(", "), linked(own.at(-1)!), adamPlace];
    });
  const rows = [
    ...group(({ task, kind }) => `${task} (${kind})`),
    ...group(({ network }) => `hidden ${network}`),
  ];
  const headings = ["on", "best by held-out loss (mean place)", "worst", "Adam"];
  return markdownTable(headings, rows, headings);
}

function linked({ method }: Standing): string {
  return `[${method}](methods/${method}.md)`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
