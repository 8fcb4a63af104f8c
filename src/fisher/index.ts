/** Fisher types, traced score matrices and products with them. */
export * from "./fisher-type.ts";
export * from "./image-scores.ts";
export * from "./score-matrix.ts";
export * from "./scores.ts";
