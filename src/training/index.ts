/** Trainer, epoch loop, checkpoints. */
export type { Progress } from "./checkpoint.ts";
export { createTrainer, resumeTrainer } from "./create-trainer.ts";
export type { Evaluation, Examples } from "./evaluation.ts";
export type { LinearOperator, Preconditioner } from "./fisher-operator.ts";
export type { FitOptions } from "./fit.ts";
export type { EpochRecord } from "./run-folder.ts";
export type { Trainer } from "./trainer.ts";
export type { TrainerConfig } from "./trainer-config.ts";
