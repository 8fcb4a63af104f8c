/** The two ways a call by the user can end badly; the command line turns them into exit codes. */

/** The call itself is wrong (an option, a column name, a file that is not there): exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What was asked for would take more memory than there is. */
export class MemoryError extends UsageError {}

/** The call was right and the work failed (a full disk, a download, training that cannot go on): exit code 1. */
export class RunError extends Error {
  override name = "RunError";
}

/**
 * Checks one option at the door.
 *
 * @throws UsageError `invalid damping: -1 (must be > 0)`
 */
export function requireOption(valid: boolean, name: string, value: unknown, must: string): void {
  if (!valid) throw new UsageError(`invalid ${name}: ${formatValue(value)} (must be ${must})`);
}

/**
 * {@link requireOption} of what must be a number: texts and lists that JavaScript would compare as numbers are none.
 *
 * @throws UsageError `invalid momentum: "0.9" (must be in [0, 1))`
 */
export function requireNumber(valid: boolean, name: string, value: unknown, must: string): void {
  requireOption(valid && typeof value === "number", name, value, must);
}

/**
 * Refuses unknown options, which would otherwise be ignored; `undefined` may stand for any known one.
 *
 * @throws UsageError `tengrad has no option dampng (did you mean damping?)`
 */
export function requireKnown(options: object, known: readonly string[], what: string): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const suggestion = nearest(key, known);
    const hint = suggestion ? `did you mean ${suggestion}?` : `it takes ${known.join(", ")}`;
    throw new UsageError(`${what} has no option ${key} (${hint})`);
  }
}

/** From this length on, two letters of a name may be wrong in a slip of the hand, below it one. */
const LONG_NAME = 8;

/**
 * Refuses options that look misspelt. Others that are unknown pass, as they do in TypeScript for objects that were made elsewhere: an object
 * with more in it than options may be given as it stands.
 *
 * @param elsewhere names that are no slips, for they are options of something else
 * @throws UsageError `tengrad has no option dampng (did you mean damping?)`
 */
export function requireSpelling(
  options: object,
  known: readonly string[],
  what: string,
  elsewhere: ReadonlySet<string> = new Set(),
): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key) || elsewhere.has(key)) continue;
    const slips = key.length < LONG_NAME ? 1 : 2;
    const meant = known.find((name) => editDistance(key.toLowerCase(), name.toLowerCase()) <= slips);
    if (meant !== undefined) throw new UsageError(`${what} has no option ${key} (did you mean ${meant}?)`);
  }
}

/** The names given, which the compiler holds to be all keys of an interface: `everyKeyOf<Options>()(["a", "b"])`. */
export function everyKeyOf<T extends object>() {
  return <const Names extends readonly (keyof T & string)[]>(
    names: keyof T extends Names[number] ? Names : readonly [missing: Exclude<keyof T, Names[number]>],
  ): Names => names as Names;
}

/** The candidate nearest to `word` by edit distance, when it is near enough to be a slip of the hand. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

/** Characters of a list or an object that an error shows. */
const LONGEST_OBJECT = 80;

function formatValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object" || value === null) return String(value);
  try {
    const text = JSON.stringify(value);
    return text.length > LONGEST_OBJECT ? `${text.slice(0, LONGEST_OBJECT)}…` : text;
  } catch {
    return String(value); // it holds itself, or a bigint
  }
}
