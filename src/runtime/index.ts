/** Compiled computations on ONNX Runtime: native, WebAssembly or WebGPU. */
export { countOperations, type OperationCount } from "./counting.ts";
export { compile, evaluate, type Program } from "./program.ts";
export { openRuntime, type RuntimeOptions } from "./runtime.ts";
export type { Arrays, Binding, Device, Runtime, SessionKind } from "./session.ts";
