// Everything the host calls; compiled by scripts/build-kernels.mjs into ../kernels.generated.ts.
export { factorBlock, solveRows, subtractProducts } from "./cholesky";
export { reduceRows, reflectPanel, rotatePanel } from "./tridiagonal";
