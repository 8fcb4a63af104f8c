/** Which methods a comparison has, and which are left out of it, for what reason. */
import { UsageError } from "../errors.ts";
import type { Likelihood } from "../nn/index.ts";
import { findMethod, type MethodInfo, methods as registry } from "../optimizers/index.ts";

/** Methods left out for one reason. */
export interface LeftOut {
  readonly reason: string;
  readonly methods: readonly string[];
  /** The options that take them in, where some do. */
  readonly remedy: string;
}

/** What a comparison's data and batches are. */
export interface Circumstances {
  readonly likelihood: Likelihood["name"];
  /** Whether a batch is all rows. */
  readonly fullBatch: boolean;
}

/** Those of `--optimizers`; without it all but the costly ones and those for full batches. */
export function methodNames(wanted: readonly string[] | undefined): string[] {
  if (wanted === undefined) return registry.filter(isQuick).map(({ name }) => name);
  const names = wanted.flatMap((name) => (name === "all" ? registry.map((method) => method.name) : [name]));
  if (names.length === 0) throw new UsageError("invalid --optimizers: none (name some, or all)");
  return [...new Set(names.map((name) => findMethod(name).name))];
}

/** Who is left out of a comparison that was not told each of its methods; none that was named is. */
export function leftOut(
  wanted: readonly string[] | undefined,
  { likelihood, fullBatch }: Circumstances,
): LeftOut[] {
  const all = wanted?.includes("all") ?? false;
  if (wanted !== undefined && !all) return [];
  const named = (wanted ?? []).filter((name) => name !== "all").map((name) => findMethod(name).name);
  const takesIn = [!all && "--optimizers all", !fullBatch && "--batch-size all"].filter(Boolean).join(" ");
  const reasonOf = ({ name, kind, costly, likelihood: own }: MethodInfo) => {
    if (named.includes(name)) return undefined;
    if (own !== undefined && own !== likelihood) return { reason: "made for regression", remedy: "" };
    if (kind === "full-batch" && takesIn) return { reason: "for they want full batches", remedy: takesIn };
    if (costly && !all) return { reason: "for they take long", remedy: "--optimizers all" };
    return undefined;
  };
  const groups = new Map<string, LeftOut & { readonly methods: string[] }>();
  for (const method of registry) {
    const why = reasonOf(method);
    if (why === undefined) continue;
    const group = groups.get(why.reason) ?? { ...why, methods: [] };
    group.methods.push(method.name);
    groups.set(why.reason, group);
  }
  return [...groups.values()];
}

function isQuick({ costly, kind }: MethodInfo): boolean {
  return !costly && kind !== "full-batch";
}
