/** The experiments, in the order of lists and of the gallery. A new one is a file beside this and a line here. */
import { nearest, UsageError } from "../errors.ts";
import type { Experiment } from "./experiment.ts";
import { johnsonFigure1 } from "./johnson-fig1.ts";
import { johnsonInvariance } from "./johnson-invariance.ts";
import { karakidaFigure1a } from "./karakida-fig1a.ts";
import { karakidaFigure1b } from "./karakida-fig1b.ts";
import { karakidaFigure2 } from "./karakida-fig2.ts";
import { karakidaFigure3 } from "./karakida-fig3.ts";
import { karakidaOneStep } from "./karakida-one-step.ts";
import { shresthaFigure2 } from "./shrestha-fig2.ts";
import { shresthaFigure3 } from "./shrestha-fig3.ts";
import { shresthaFigure4 } from "./shrestha-fig4.ts";
import { shresthaFigure5 } from "./shrestha-fig5.ts";
import { shresthaTable1 } from "./shrestha-table1.ts";
import { tengradInverses } from "./tengrad-inverses.ts";
import { tengradSensitivity } from "./tengrad-sensitivity.ts";
import { tengradTable1 } from "./tengrad-table1.ts";

export const experiments: readonly Experiment[] = [
  karakidaOneStep,
  karakidaFigure1a,
  karakidaFigure1b,
  karakidaFigure2,
  karakidaFigure3,
  shresthaTable1,
  shresthaFigure2,
  shresthaFigure3,
  shresthaFigure4,
  shresthaFigure5,
  tengradTable1,
  ...tengradInverses,
  ...tengradSensitivity,
  johnsonFigure1,
  johnsonInvariance,
];

/** @throws UsageError in one line, with the nearest id or all of them */
export function findExperiment(id: string): Experiment {
  const found = experiments.find((experiment) => experiment.id === id);
  if (found) return found;
  const ids = experiments.map((experiment) => experiment.id);
  const near = nearest(id, ids);
  throw new UsageError(
    `unknown experiment "${id}"; ${near ? `did you mean "${near}"?` : `known ones: ${ids.join(", ")}`}`,
  );
}
