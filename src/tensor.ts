/** Host tensors: a shape and a typed array, row-major. */

export type DType = "float32" | "float64" | "int32" | "bool";
export type FloatDType = "float32" | "float64";
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** Tensors by name: `"0.weight"` → (out, in). */
export type NamedTensors = Map<string, Tensor>;

/** What setters accept: a `Map` or a plain object. */
export type NamedTensorsLike = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/**
 * A host tensor.
 *
 * @param data numbers in row-major order; a plain array is stored as float64, a typed array is kept as it is
 * @param shape defaults to one axis of all the numbers
 * @throws when the number of elements and the shape disagree
 */
export function tensor(data: ArrayLike<number> | TypedArray, shape?: readonly number[]): Tensor {
  const values = isTypedArray(data) ? data : Float64Array.from(data);
  const dimensions = shape ?? [values.length];
  const expected = sizeOf(dimensions);
  if (values.length !== expected) {
    throw new Error(
      `invalid tensor: ${values.length} numbers for shape (${dimensions.join(", ")}) (must be ${expected})`,
    );
  }
  return { shape: [...dimensions], data: values };
}

/** Number of elements of a shape; 1 for a scalar `[]`. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

export function isTypedArray(value: unknown): value is TypedArray {
  return (
    value instanceof Float32Array ||
    value instanceof Float64Array ||
    value instanceof Int32Array ||
    value instanceof Uint8Array
  );
}

/** A zeroed typed array of `length` elements; its memory never moves, so native code may keep its address. */
export function allocate(dtype: DType, length: number): TypedArray {
  const bytes = new ArrayBuffer(length * bytesPerElement(dtype));
  switch (dtype) {
    case "float32":
      return new Float32Array(bytes);
    case "float64":
      return new Float64Array(bytes);
    case "int32":
      return new Int32Array(bytes);
    case "bool":
      return new Uint8Array(bytes);
  }
}

export function bytesPerElement(dtype: DType): number {
  return dtype === "float64" ? 8 : dtype === "bool" ? 1 : 4;
}

export function dtypeOf(data: TypedArray): DType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Float64Array) return "float64";
  return data instanceof Int32Array ? "int32" : "bool";
}

/** The first of the largest numbers; 0 where there are none. */
export function indexOfLargest(values: ArrayLike<number>): number {
  let best = 0;
  for (let k = 1; k < values.length; k++) if (values[k] > values[best]) best = k;
  return best;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

/** `(128, 8)`, as shapes are written in messages. */
export function formatShape(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}

export function toNamedTensors(named: NamedTensorsLike): NamedTensors {
  return new Map(named instanceof Map ? named : Object.entries(named as Record<string, Tensor>));
}
