/** Symbolic tensors, their operations, differentiation and lowering to ONNX. */
export * from "./arrange.ts";
export { type Convolution, convolve, convolveTransposed, outputSize, unfold } from "./convolution.ts";
export * from "./differentiate.ts";
export * from "./elementwise.ts";
export { filterProducts, filterProductsOfEach } from "./filter-products.ts";
export * from "./functions.ts";
export { type MatmulOptions, matmul, matrixTranspose } from "./matmul.ts";
export { largestTensor, peakBytes } from "./memory.ts";
export { type LoweringOptions, lowerToOnnx, type NamedOutputs } from "./onnx.ts";
export type { InPlacePair } from "./onnx-model.ts";
export * from "./pooling.ts";
export { logSoftmax, max, mean, softmax, squaredNorm, sum } from "./reduce.ts";
export { type Standardized, standardize } from "./standardize.ts";
export { substitute } from "./substitute.ts";
export { constant, input, type Operand, SymbolicTensor, scalar } from "./symbolic.ts";
