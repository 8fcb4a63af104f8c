/**
 * Dense float64 linear algebra on the host: Cholesky, LU, triangular solves, inverses, symmetric eigendecomposition,
 * orthonormal bases, conjugate gradients. Matrices are row-major `Float64Array`s with their order. LAPACK does the work where the system has one,
 * WebAssembly kernels elsewhere, the browser included. No function lets NaN out: each says in its result how it ended.
 */
export { type Backend, setBackend } from "./backend.ts";
export { cholesky, choleskyAsync } from "./cholesky.ts";
export {
  type ConjugateGradientOptions,
  type ConjugateGradientResult,
  type ConjugateGradientStatus,
  conjugateGradient,
  type LinearMap,
  type Recurrence,
  runRecurrence,
} from "./conjugate-gradient.ts";
export {
  type DampedCholeskyOptions,
  type DampedFactor,
  dampedCholesky,
  dampedCholeskyAsync,
} from "./damped-cholesky.ts";
export { type DampedLu, dampedLu, dampedLuAsync } from "./damped-lu.ts";
export {
  type SymmetricEigen,
  type SymmetricEigenOptions,
  symmetricEigen,
  symmetricEigenAsync,
  symmetricEigenWork,
} from "./eigen.ts";
export {
  choleskyInverse,
  choleskyInverseAsync,
  type SpdInverse,
  spdInverse,
  spdInverseAsync,
} from "./inverse.ts";
export { type LapackInfo, lapackInfo } from "./lapack.ts";
export { type LuFactors, lu, luAsync, luSolve, luSolveAsync } from "./lu.ts";
export { orthonormalizeRows, orthonormalizeRowsAsync } from "./orthonormal.ts";
export { type RowInverse, type RowInverseProblem, rowInverse, rowInverseAsync } from "./row-inverse.ts";
export {
  choleskySolve,
  choleskySolveAsync,
  invertLower,
  invertLowerAsync,
  solveLower,
  solveLowerTransposed,
} from "./triangular.ts";
