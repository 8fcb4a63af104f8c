/** `natgrad predict`: what a trained model says of the rows of another file. */
import { once } from "node:events";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import Papa from "papaparse";
import { isNumericTask } from "../data/dataset.ts";
import { type Decoded, encodeCsv, type TableEncoding } from "../data/index.ts";
import { RunError, UsageError } from "../errors.ts";
import type { FloatDType } from "../tensor.ts";
import { writeFileAtomically } from "../training/atomic-file.ts";
import { makeFolders } from "../training/folders.ts";
import { describeRun, loadRun, type Prediction } from "../training/open-run.ts";
import { formatValue } from "./output.ts";

const examples = `
Examples:
  $ natgrad predict runs/my new.csv > predicted.csv
  $ natgrad predict runs/ecoli new.data --probabilities
  $ natgrad predict runs/my-compare/tengrad new.csv --out predicted.csv

Columns are found by name. Where the file has the target columns, loss and metric are said on stderr.`;

interface Options {
  readonly probabilities?: boolean;
  readonly delimiter?: string;
  readonly out?: string;
}

export function addPredictCommand(program: Command): void {
  program
    .command("predict")
    .summary("predict from a CSV file by a run's model")
    .description(
      "Encodes the rows of a CSV file as a run's data were and writes what its model predicts, as CSV: numbers in the units of the data, or classes.",
    )
    .argument("<run>", "the run's folder, with config.json and checkpoint.safetensors")
    .argument("<file>", "the CSV file, plain or gzip; it may lack the target columns")
    .option("--probabilities", "a column for the probability of each class too")
    .option(
      "--delimiter <text>",
      'between the cells of the file, also "tab" or "whitespace" (default: told from the file)',
    )
    .option("--out <file>", "where the predictions go (default: stdout)")
    .addHelpText("after", examples)
    .action(predict);
}

async function predict(folder: string, file: string, options: Options): Promise<void> {
  const { probabilities = false, delimiter, out } = options;
  if (out !== undefined && resolve(out) === resolve(file)) {
    throw new UsageError(`invalid --out: ${JSON.stringify(out)} (must not be the file to predict from)`);
  }
  const described = await describeRun(folder);
  const { task, dtype } = described.encoding;
  if (probabilities && isNumericTask(task)) {
    throw new UsageError(`--probabilities is for classes, and ${folder} predicts numbers`);
  }
  const rows = await encodeCsv(file, described.encoding, { delimiter });
  const run = await loadRun(described);
  try {
    const prediction = await run.predict(rows);
    await write(csvOf(task, prediction.decoded, { probabilities, dtype }), out);
    tell(file, prediction, out);
  } finally {
    run.dispose();
  }
}

/** Notices, and how the predictions compare with the file's targets, on stderr. */
function tell(file: string, { outputs, evaluation, notices }: Prediction, out: string | undefined): void {
  const lines = notices.map((notice) => `note: ${notice}`);
  const rows = outputs.shape[0];
  const where = out === undefined ? "" : `, predictions in ${out}`;
  lines.push(`${file}: ${rows} ${rows === 1 ? "row" : "rows"}${where}`);
  if (evaluation) {
    const { loss, metric, samples } = evaluation;
    const which = samples === rows ? "" : ` (${samples} of the rows)`;
    lines.push(`loss ${formatValue(loss)}, ${metric.name} ${formatValue(metric.value)}${which}`);
  }
  process.stderr.write(`${lines.join("\n")}\n`);
}

const rowsAtOnce = 4096;

interface Shown {
  readonly probabilities: boolean;
  readonly dtype: FloatDType;
}

/** The header and a line for each row, in pieces: target columns, and `P(class)` for each class where they are wanted. */
function* csvOf(task: TableEncoding["task"], decoded: Decoded, shown: Shown): Generator<string> {
  const isNumeric = "values" in decoded;
  const { shape, data } = isNumeric ? decoded.values : decoded.probabilities;
  const [rows, width] = shape;
  const classNames = isNumericTask(task) || !shown.probabilities ? [] : task.classNames;
  const text = (cells: readonly unknown[][]) => `${Papa.unparse([...cells], { newline: "\n" })}\n`;
  yield text([[...task.targetNames, ...classNames.map((name) => `P(${name})`)]]);
  const numbers = (row: number) => {
    const own = data.subarray(row * width, (row + 1) * width);
    return Array.from(own, (value) => formatNumber(value, shown.dtype));
  };
  for (let start = 0; start < rows; start += rowsAtOnce) {
    const cells = Array.from({ length: Math.min(rowsAtOnce, rows - start) }, (_, index) => {
      const row = start + index;
      if (isNumeric) return numbers(row);
      return [decoded.classes[row], ...(shown.probabilities ? numbers(row) : [])];
    });
    yield text(cells);
  }
}

/** As many digits as the model's numbers have. */
function formatNumber(value: number, dtype: FloatDType): string {
  return String(dtype === "float32" ? +value.toPrecision(9) : value);
}

async function write(pieces: Iterable<string>, out: string | undefined): Promise<void> {
  if (out === undefined) {
    for (const piece of pieces) if (!process.stdout.write(piece)) await once(process.stdout, "drain");
    return;
  }
  try {
    await makeFolders(dirname(resolve(out)));
    await writeFileAtomically(out, encoded(pieces));
  } catch (error) {
    throw new RunError(`cannot write ${out}: ${(error as Error).message}`, { cause: error });
  }
}

function* encoded(pieces: Iterable<string>): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  for (const piece of pieces) yield encoder.encode(piece);
}
