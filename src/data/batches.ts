/** Batches in a seeded order that can be taken up again in the middle of an epoch. */
import { requireOption, UsageError } from "../errors.ts";
import { isPixels } from "../pixels.ts";
import type { Random } from "../random.ts";
import { allocate, dtypeOf, sizeOf, type Tensor } from "../tensor.ts";
import { type Augmentation, augmentedShape, augmentImages } from "./augmentation.ts";
import { type Dataset, gatherRows } from "./dataset.ts";

/** `inputs` (B, …inputShape), numbers also where the dataset keeps pixels, and `targets` (B) or (B, C). */
export interface Batch {
  readonly inputs: Tensor;
  readonly targets: Tensor;
}

export interface BatchOptions {
  readonly batchSize: number;
  /** The run's generator; without one the rows come in their stored order. It is forked, never advanced. */
  readonly random?: Random;
  /** Number of the epoch, from 0: with the seed it decides the order. */
  readonly epoch?: number;
  /** First batch to give, from 0: what a resumed epoch has already seen is left out. */
  readonly start?: number;
  /** Leave out the last batch when it is smaller than the others; default true. */
  readonly dropLast?: boolean;
  /** Crops and flips of images, drawn anew in every epoch; needs `random`. Default: none. */
  readonly augment?: Augmentation;
}

/** How many batches one epoch has. */
export function batchCount(rows: number, { batchSize, dropLast = true }: BatchOptions): number {
  return dropLast ? Math.floor(rows / batchSize) : Math.ceil(rows / batchSize);
}

/**
 * One epoch. The order is drawn from `random.fork("epoch <epoch>")`, and what is done to the images of a batch from a fork
 * named by the epoch and the batch's number, so the epoch's number and the number of batches already seen are all that is
 * needed to continue with the same batches. One batch of all rows keeps their stored order: full-batch methods then see that
 * nothing changed.
 *
 * Batches are written into two sets of arrays in turn: a batch keeps its numbers while the next one is asked for, so that one
 * can be trained on while the next is put together, and no longer.
 *
 * @throws UsageError when the batch is larger than the dataset, or images to augment are wanted of what has none
 */
export function batches(dataset: Dataset, options: BatchOptions): Iterable<Batch> {
  const { batchSize, random, epoch = 0, start = 0 } = options;
  const rows = dataset.inputs.shape[0];
  requireOption(Number.isInteger(batchSize) && batchSize > 0, "batchSize", batchSize, "a positive integer");
  requireOption(Number.isInteger(start) && start >= 0, "start", start, "an integer ≥ 0");
  if (batchSize > rows) {
    throw new UsageError(
      `invalid batchSize: ${batchSize} (must be at most ${rows}, the rows of ${dataset.name})`,
    );
  }
  const order =
    random && batchSize < rows
      ? random.fork(`epoch ${epoch}`).permutation(rows)
      : Int32Array.from({ length: rows }, (_, index) => index);
  return give(dataset, order, start, batchCount(rows, options), batchSize, augmenter(dataset, options));
}

/** Changes the inputs of batch number `index`, of which there are `count`. */
type Augmenter = (inputs: Tensor["data"], count: number, index: number) => void;

function augmenter(dataset: Dataset, { augment, random, epoch = 0 }: BatchOptions): Augmenter | undefined {
  if (!augment) return undefined;
  const shape = augmentedShape(dataset, augment);
  if (!random) throw new UsageError("augment needs random, the generator of the run");
  return (inputs, count, index) => {
    augmentImages(inputs, count, shape, augment, random.fork(`epoch ${epoch} batch ${index} views`));
  };
}

function* give(
  { inputs, targets }: Dataset,
  order: Int32Array,
  start: number,
  count: number,
  batchSize: number,
  augment: Augmenter | undefined,
): Generator<Batch> {
  const side = () => ({
    inputsOf: batchOf(inputs, order, batchSize, augment),
    targetsOf: batchOf(targets, order, batchSize),
  });
  const sides: ReturnType<typeof side>[] = []; // the second one is made when there is a second batch
  for (let index = start; index < count; index++) {
    const { inputsOf, targetsOf } = (sides[(index - start) % 2] ??= side());
    yield { inputs: inputsOf(index), targets: targetsOf(index) };
  }
}

/** Gathers batch `index` of `source` into one array, of which a smaller last batch is the front. */
function batchOf(
  source: Tensor,
  order: Int32Array,
  batchSize: number,
  augment?: Augmenter,
): (index: number) => Tensor {
  const rest = source.shape.slice(1);
  const width = sizeOf(rest);
  const dtype = isPixels(source) ? source.dtype : dtypeOf(source.data);
  const data = allocate(dtype, batchSize * width);
  const full: Tensor = { shape: [batchSize, ...rest], data };
  return (index) => {
    const from = index * batchSize;
    const count = Math.min(batchSize, order.length - from);
    gatherRows(source, order, from, count, data);
    augment?.(data, count, index);
    return count === batchSize ? full : { shape: [count, ...rest], data: data.subarray(0, count * width) };
  };
}
