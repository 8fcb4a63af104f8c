/** Axes and labels: where they begin and end, what they mark, and how names stay apart. */

export interface Point {
  x: number;
  y: number;
}

type Domain = [number, number];

/** From the smallest to the largest positive value, with a little room. */
export function logDomain(values: readonly number[]): Domain {
  const [low, high] = extent(values.filter((value) => value > 0 && Number.isFinite(value))) ?? [0.1, 1];
  const room = low === high ? 3 : (high / low) ** 0.04;
  return [low / room, high * room];
}

/** Whole numbers end where the data end; the rest gets a little room, and zero where it is near. */
export function linearDomain(values: readonly number[], integer: boolean): Domain {
  const [low, high] = extent(values.filter(Number.isFinite)) ?? [0, 1];
  if (low === high) {
    const room = integer ? 1 : Math.abs(low) / 2 || 1;
    return [low - room, high + room];
  }
  if (integer) return [low, high];
  const room = 0.04 * (high - low);
  const touchesZero = low >= 0 && low - room < 0.05 * high;
  return [touchesZero ? 0 : low - room, high + room];
}

/** Decades where there are two or more of them, 1-2-5 steps below that, even steps where those are too few. */
export function logTicks([low, high]: Domain): number[] {
  const decades = Math.log10(high / low);
  const every = Math.ceil(decades / 8);
  const mantissas = decades >= 2.5 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent++) {
    if (decades >= 2.5 && exponent % every !== 0) continue;
    for (const mantissa of mantissas) ticks.push(Number(`${mantissa}e${exponent}`));
  }
  const visible = ticks.filter((tick) => tick >= low && tick <= high);
  return visible.length >= 3 ? visible : stepTicks([low, high], 5, false);
}

/** At most about `most` round numbers, evenly spaced. */
export function stepTicks([low, high]: Domain, most: number, integer: boolean): number[] {
  const rough = (high - low) / most;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10]
    .map((factor) => factor * magnitude)
    .find((candidate) => candidate >= rough * 0.999)!;
  if (integer) step = Math.max(1, step);
  const ticks = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + 1e-9 * step; count++) {
    ticks.push(Number((count * step).toPrecision(12)));
  }
  return ticks;
}

/** At most about `most` points: of every stretch the lowest and the highest, so that no spike is lost. */
export function thin(points: Point[], most: number): Point[] {
  if (points.length <= most) return points;
  const stretch = Math.ceil((2 * points.length) / most);
  const kept = [points[0]];
  for (let start = 1; start < points.length - 1; start += stretch) {
    const part = points.slice(start, Math.min(start + stretch, points.length - 1));
    const lowest = part.reduce((best, point) => (point.y < best.y ? point : best));
    const highest = part.reduce((best, point) => (point.y > best.y ? point : best));
    kept.push(
      ...(lowest.x < highest.x ? [lowest, highest] : lowest === highest ? [lowest] : [highest, lowest]),
    );
  }
  return [...kept, points[points.length - 1]];
}

/**
 * Moves labels apart along one axis, in their order: each at least `gap` from the next, all between `low` and
 * `high` while they fit, each near where it would be.
 */
export function spreadLabels(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const order = wanted.map((_, index) => index).sort((a, b) => wanted[a] - wanted[b] || a - b);
  // Blocks of touching labels, each centered on the mean of what its members want (pool-adjacent-violators).
  const blocks: { members: number[]; start: number }[] = [];
  for (const index of order) {
    let block = { members: [index], start: clampStart([index]) };
    for (
      let above = blocks.at(-1);
      above && above.start + above.members.length * gap > block.start;
      above = blocks.at(-1)
    ) {
      blocks.pop();
      const members = [...above.members, ...block.members];
      block = { members, start: clampStart(members) };
    }
    blocks.push(block);
  }
  const placed = new Array<number>(wanted.length);
  for (const { members, start } of blocks) {
    for (const [position, index] of members.entries()) placed[index] = start + position * gap;
  }
  return placed;

  function clampStart(members: number[]): number {
    const mean =
      members.reduce((sum, index, position) => sum + wanted[index] - position * gap, 0) / members.length;
    return Math.max(low, Math.min(mean, high - (members.length - 1) * gap));
  }
}

function extent(values: readonly number[]): Domain | undefined {
  if (values.length === 0) return undefined;
  return values.reduce<Domain>(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}
