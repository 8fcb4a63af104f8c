/** Invented runs for the tests of the report. */
import type { CurvatureRow } from "../../src/curvature/report.ts";
import type { EpochRecord, ReportContext, RunRecord } from "../../src/training/run-folder.ts";

/** A run whose training losses are `losses`, an epoch each, `pace` seconds apart; validation is 10 % above. */
export function run(name: string, losses: number[], pace = 1, changes: Partial<RunRecord> = {}): RunRecord {
  const epochs = losses.map(
    (trainLoss, index): EpochRecord => ({
      ...{ epoch: index + 1, step: 10 * (index + 1), seconds: pace * (index + 1), trainLoss },
      ...{ validationLoss: 1.1 * trainLoss, metric: { name: "rmse", value: Math.sqrt(2.2 * trainLoss) } },
      ...{ learningRate: 0.1, rejectedSteps: 0, notices: [] },
    }),
  );
  const options = { learningRate: 0.1 };
  return {
    name,
    optimizer: name,
    options,
    epochs,
    curvature: [],
    status: "finished",
    parameterCount: 41,
    ...changes,
  };
}

export const curvature: CurvatureRow[] = [
  {
    parameters: ["0.weight", "0.bias"],
    structure: "tengrad",
    solver: "gram",
    dimension: 1280,
    memoryBytes: 131_072,
  },
  {
    parameters: ["2.weight"],
    structure: "tengrad",
    solver: "dense",
    dimension: 5,
    memoryBytes: 200,
    note: "small",
  },
];

export const context: ReportContext = {
  title: "weather: sgd, adam, tengrad",
  command: "natgrad compare weather --hidden 4 --optimizers sgd,adam,tengrad --seed 0",
  dataset: {
    name: "weather",
    rows: 96_453,
    features: 8,
    task: "regression",
    notices: ["Loud Cover: constant, dropped"],
  },
  model: "dense(4), tanh, dense(1)",
  environment: ["Node 20", "ONNX Runtime 1.30"],
  createdAt: "2026-03-01T14:05:33.000Z",
};

export const three = [
  run("sgd", [0.5, 0.4, 0.3]),
  run("adam", [0.4, 0.2, 0.1], 1.5),
  run("tengrad", [0.2, 0.05, 0.02], 2, { curvature }),
];
