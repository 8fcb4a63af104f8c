/** What each block's statistics take while they are computed, by itself. */
import type { CurvatureBlock } from "../../curvature/block.ts";
import type { CurvatureRow } from "../../curvature/report.ts";
import type { TracedScores } from "../../fisher/index.ts";
import { input, peakBytes, type SymbolicTensor, substitute } from "../../graph/index.ts";

/** The rows of the blocks' reports with the peak of what statistics and refresh take in between; the network's own passes are left out. */
export function reportWithPeaks(blocks: readonly CurvatureBlock[], { layers }: TracedScores): CurvatureRow[] {
  const given = new Map<SymbolicTensor, SymbolicTensor>();
  for (const { layer, inputs, deltas, preactivations } of layers) {
    for (const [part, node] of Object.entries({ inputs, deltas, preactivations })) {
      given.set(node, input(`${layer}/${part}`, node.shape, node.dtype));
    }
  }
  return blocks.map(({ report, statistics, averages = {}, settled, refreshed, borrowed }) => {
    const outputs = substitute([...Object.values(statistics), ...Object.values(averages)], given);
    const slots = Object.entries({ ...statistics, ...refreshed }).map(([name, { shape, dtype }]) => {
      return [name, input(name, shape, dtype)] as const;
    });
    const later = settled ? Object.values(settled.trace(Object.fromEntries(slots))) : [];
    return {
      ...report,
      workingBytes: Math.max(peakBytes(outputs), peakBytes(later), ...(borrowed?.bytes ?? [])),
    };
  });
}
