/** Fisher types, traced score matrices and products with them. */
export {
  chooseForms,
  countForms,
  describeForm,
  type FormCost,
  formCosts,
  type GramForm,
} from "./convolution-cost.ts";
export {
  type ConvolutionLayer,
  convolutionPositions,
  convolutionRows,
  someSamples,
} from "./convolution-scores.ts";
export * from "./fisher-type.ts";
export * from "./image-scores.ts";
export * from "./score-matrix.ts";
export * from "./scores.ts";
