/** Fusion into Gemm: where it happens, where it must not, and that it never changes a value. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fuse } from "../../src/graph/fuse.ts";
import {
  add,
  broadcastTo,
  type Convolution,
  convolve,
  divide,
  input,
  lowerToOnnx,
  matmul,
  multiply,
  type NamedOutputs,
  negate,
  reshape,
  type SymbolicTensor,
  scalar,
  subtract,
  tanh,
} from "../../src/graph/index.ts";
import { optimize } from "../../src/graph/optimize.ts";
import { Random } from "../../src/random.ts";
import { openRuntime } from "../../src/runtime/runtime.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { type DType, sizeOf } from "../../src/tensor.ts";
import { operators, readModel } from "./read-model.ts";
import { type Dense, dense, elementwise, matmul as product, swapLastTwo } from "./reference.ts";
import { assertClose, run } from "./support.ts";

let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ threads: 1 });
});
after(() => runtime.dispose());

/** A is (2, 3), B is (3, 4), the product (2, 4); C, D the addends by shape. */
const SHAPES = {
  a: [2, 3],
  b: [3, 4],
  full: [2, 4],
  other: [2, 4],
  row: [4],
  column: [2, 1],
  one: [1, 1],
  single: [1],
  rank0: [],
  rank3: [1, 2, 4],
  larger: [3, 2, 4],
} as const satisfies Record<string, readonly number[]>;
type Name = keyof typeof SHAPES;
const NAMES = Object.keys(SHAPES) as Name[];

const random = new Random(11);
/** Small integers: exact in every dtype. */
const VALUES = Object.fromEntries(
  NAMES.map((name) => [
    name,
    dense(
      Array.from({ length: sizeOf(SHAPES[name]) }, () => random.integer(9) - 4),
      SHAPES[name],
    ),
  ]),
) as Record<Name, Dense>;

type Inputs = Record<Name, SymbolicTensor>;

function inputsOf(dtype: DType): Inputs {
  return Object.fromEntries(NAMES.map((name) => [name, input(name, SHAPES[name], dtype)])) as Inputs;
}

const AB = product(VALUES.a, VALUES.b);

/** α·(A·B) + β·C by plain arithmetic. */
function expected(alpha: number, beta = 0, c: Dense = dense([0], [])): Dense {
  return elementwise((p, q) => alpha * p + beta * q, AB, c);
}

function gemms(outputs: NamedOutputs) {
  return readModel(lowerToOnnx(outputs)).nodes.filter(({ type }) => type === "Gemm");
}

async function assertValue(y: SymbolicTensor, reference: Dense, relative: number): Promise<void> {
  const values = Object.fromEntries(NAMES.map((name) => [name, VALUES[name].data]));
  const result = (await run(runtime, { y }, values)).y;
  assert.deepEqual(result.shape, reference.shape);
  assertClose(result.data, reference.data, "value", { relative });
}

interface Fused {
  readonly name: string;
  readonly build: (inputs: Inputs, ab: SymbolicTensor) => SymbolicTensor;
  readonly alpha: number;
  readonly beta?: number;
  readonly addend?: Name;
}

const FUSED: Fused[] = [
  { name: "A·B + row", build: ({ row }, ab) => add(ab, row), alpha: 1, beta: 1, addend: "row" },
  { name: "row + A·B", build: ({ row }, ab) => add(row, ab), alpha: 1, beta: 1, addend: "row" },
  { name: "A·B + column", build: ({ column }, ab) => add(ab, column), alpha: 1, beta: 1, addend: "column" },
  { name: "A·B + (1, 1)", build: ({ one }, ab) => add(ab, one), alpha: 1, beta: 1, addend: "one" },
  { name: "A·B + (1)", build: ({ single }, ab) => add(ab, single), alpha: 1, beta: 1, addend: "single" },
  { name: "A·B + C", build: ({ full }, ab) => add(ab, full), alpha: 1, beta: 1, addend: "full" },
  { name: "0.25·A·B", build: (_, ab) => multiply(ab, 0.25), alpha: 0.25 },
  { name: "A·B·0.25", build: (_, ab) => multiply(0.25, ab), alpha: 0.25 },
  { name: "A·B − C", build: ({ full }, ab) => subtract(ab, full), alpha: 1, beta: -1, addend: "full" },
  { name: "C − A·B", build: ({ full }, ab) => subtract(full, ab), alpha: -1, beta: 1, addend: "full" },
  {
    name: "0.5·A·B + 2·C",
    build: ({ full }, ab) => add(multiply(ab, 0.5), multiply(full, 2)),
    alpha: 0.5,
    beta: 2,
    addend: "full",
  },
  {
    name: "2·C + 0.5·A·B",
    build: ({ full }, ab) => add(multiply(2, full), multiply(0.5, ab)),
    alpha: 0.5,
    beta: 2,
    addend: "full",
  },
  {
    name: "0.5·A·B − 2·C",
    build: ({ full }, ab) => subtract(multiply(ab, 0.5), multiply(full, 2)),
    alpha: 0.5,
    beta: -2,
    addend: "full",
  },
  {
    name: "2·C − 0.5·A·B",
    build: ({ full }, ab) => subtract(multiply(full, 2), multiply(ab, 0.5)),
    alpha: -0.5,
    beta: 2,
    addend: "full",
  },
  {
    name: "row − (−3)·A·B",
    build: ({ row }, ab) => subtract(row, multiply(ab, -3)),
    alpha: 3,
    beta: 1,
    addend: "row",
  },
  {
    name: "A·B − (−2)·C",
    build: ({ full }, ab) => subtract(ab, multiply(full, -2)),
    alpha: 1,
    beta: 2,
    addend: "full",
  },
  {
    name: "momentum 0.5·C + 2⁻⁷·A·B",
    build: ({ full }, ab) => add(multiply(full, 0.5), multiply(ab, 1 / 128)),
    alpha: 1 / 128,
    beta: 0.5,
    addend: "full",
  },
];

describe("fusion into Gemm", () => {
  for (const dtype of ["float64", "float32"] as const) {
    for (const { name, build, alpha, beta = 0, addend } of FUSED) {
      it(`${name} in ${dtype} is one Gemm`, async () => {
        const inputs = inputsOf(dtype);
        const y = build(inputs, matmul(inputs.a, inputs.b));
        assert.deepEqual(operators(lowerToOnnx({ y })), ["Gemm"]);
        const [{ attributes, inputs: operands }] = gemms({ y });
        assert.deepEqual(attributes, { alpha, beta, transA: 0, transB: 0 });
        assert.deepEqual(operands, addend ? ["a", "b", addend] : ["a", "b"]);
        await assertValue(y, expected(alpha, beta, addend && VALUES[addend]), 1e-7);
      });
    }
  }

  it("takes factors that float32 rounds in float32 only", async () => {
    const scaledBy = (dtype: DType, alpha: number, beta: number) => {
      const { a, b, full } = inputsOf(dtype);
      return add(multiply(matmul(a, b), alpha), multiply(full, beta));
    };
    const single = scaledBy("float32", 0.1, 0.9);
    assert.deepEqual(operators(lowerToOnnx({ y: single })), ["Gemm"]);
    await assertValue(single, expected(0.1, 0.9, VALUES.full), 1e-6);
    const inexact = [
      [0.1, 0.9],
      [0.5, 0.9],
      [0.1, 0.5],
      [1 + 2 ** -40, 1],
    ];
    for (const [alpha, beta] of inexact) {
      for (const { attributes } of gemms({ y: scaledBy("float64", alpha, beta) })) {
        assert.ok([1, alpha].includes(attributes.alpha), `α ${attributes.alpha}`);
        assert.ok([0, 1, beta].includes(attributes.beta), `β ${attributes.beta}`);
      }
    }
  });

  it("inexact factors in float64 keep all their digits, whatever the runtime fuses", async () => {
    const { a, b, row } = inputsOf("float64");
    await assertValue(multiply(matmul(a, b), 0.1), expected(0.1), 1e-15);
    await assertValue(add(multiply(matmul(a, b), 0.1), row), expected(0.1, 1, VALUES.row), 1e-15);
    await assertValue(divide(matmul(a, b), 3), expected(1 / 3), 1e-15);
    await assertValue(matmul(multiply(a, 0.1), b), expected(0.1), 1e-15);
    const batched = multiply(matmul(reshape(a, [1, 2, 3]), b), 0.1);
    await assertValue(reshape(batched, [2, 4]), expected(0.1), 1e-15);
  });

  it("keeps transposes", async () => {
    for (const dtype of ["float64", "float32"] as const) {
      for (const [transposeA, transposeB] of [
        [true, false],
        [false, true],
        [true, true],
      ]) {
        const left = input("left", transposeA ? [3, 2] : [2, 3], dtype);
        const right = input("right", transposeB ? [4, 3] : [3, 4], dtype);
        const row = input("row", [4], dtype);
        const y = subtract(row, matmul(left, right, { transposeA, transposeB }));
        const [{ attributes }] = gemms({ y });
        const flags = { transA: Number(transposeA), transB: Number(transposeB) };
        assert.deepEqual(attributes, { alpha: -1, beta: 1, ...flags });
        const results = await run(
          runtime,
          { y },
          {
            left: (transposeA ? swapLastTwo(VALUES.a) : VALUES.a).data,
            right: (transposeB ? swapLastTwo(VALUES.b) : VALUES.b).data,
            row: VALUES.row.data,
          },
        );
        assertClose(results.y.data, expected(-1, 1, VALUES.row).data, "value", { relative: 1e-7 });
      }
    }
  });

  it("adds one product to another, in either order", async () => {
    const { a, b, row, full } = inputsOf("float64");
    const gram = matmul(full, full, { transposeB: true });
    const y = subtract(matmul(gram, matmul(a, b)), multiply(matmul(a, b), 2));
    const reference = elementwise(
      (p, q) => p - 2 * q,
      product(product(VALUES.full, VALUES.full, false, true), AB),
      AB,
    );
    await assertValue(y, reference, 1e-15);
    const twice = add(add(matmul(a, b), row), row);
    assert.deepEqual(operators(lowerToOnnx({ twice })), ["Gemm", "Add"]);
    await assertValue(twice, expected(1, 2, VALUES.row), 1e-15);
  });
});

describe("no fusion into Gemm", () => {
  const refused: [string, DType, (inputs: Inputs, ab: SymbolicTensor) => NamedOutputs][] = [
    ["a product that is also an output", "float64", ({ row }, ab) => ({ y: add(ab, row), ab })],
    ["a product used twice", "float64", ({ row }, ab) => ({ y: multiply(add(ab, row), tanh(ab)) })],
    ["a product added to itself", "float64", (_, ab) => ({ y: add(ab, ab) })],
    ["a scalar addend", "float64", (_, ab) => ({ y: add(ab, 3) })],
    ["an addend of rank 0", "float64", ({ rank0 }, ab) => ({ y: subtract(rank0, ab) })],
    ["an addend of rank 3", "float64", ({ rank3 }, ab) => ({ y: add(ab, rank3) })],
    ["an addend larger than the product", "float64", ({ larger }, ab) => ({ y: add(larger, ab) })],
    ["a factor that is not constant", "float64", ({ rank0 }, ab) => ({ y: multiply(ab, rank0) })],
    ["a factor of rank 2", "float64", ({ full }, ab) => ({ y: multiply(ab, full) })],
    ["an inexact factor in float64", "float64", (_, ab) => ({ y: multiply(ab, 0.1) })],
    ["integers", "int32", ({ full }, ab) => ({ y: add(multiply(ab, 2), full) })],
    ["integers scaled", "int32", (_, ab) => ({ y: multiply(ab, 3) })],
  ];
  for (const [name, dtype, build] of refused) {
    it(`of ${name}`, () => {
      const inputs = inputsOf(dtype);
      const outputs = build(inputs, matmul(inputs.a, inputs.b));
      assert.deepEqual(gemms(outputs), []);
    });
  }

  it("when the product is broadcast up by the addend", async () => {
    const row = input("a", [1, 3], "float64");
    const { b, full } = inputsOf("float64");
    const y = add(matmul(row, b), full);
    assert.deepEqual(operators(lowerToOnnx({ y })), ["MatMul", "Add"]);
    const a = dense([1, -2, 3], [1, 3]);
    const results = await run(runtime, { y }, { a: a.data, b: VALUES.b.data, full: VALUES.full.data });
    const reference = elementwise((p, q) => p + q, product(a, VALUES.b), VALUES.full);
    assert.deepEqual([...results.y.data], [...reference.data]);
  });

  it("a second time, of a scaled product used twice", () => {
    const { a, b, row, full } = inputsOf("float64");
    const scaled = multiply(matmul(a, b), 0.5);
    assert.deepEqual(operators(lowerToOnnx({ y: add(scaled, row), z: add(scaled, full) })), [
      "Gemm",
      "Add",
      "Add",
    ]);
  });

  it("of batched products", () => {
    const a = input("a", [2, 2, 3], "float64");
    const { b, row } = inputsOf("float64");
    assert.deepEqual(operators(lowerToOnnx({ y: add(matmul(a, b), row) })), ["MatMul", "Add"]);
  });

  it("of integer products, transposed or not, whose values hold", async () => {
    const { a, b, full } = inputsOf("int32");
    await assertValue(subtract(multiply(full, 2), matmul(a, b)), expected(-1, 2, VALUES.full), 0);
    const squared = matmul(a, a, { transposeA: true });
    await assertValue(squared, product(VALUES.a, VALUES.a, true), 0);
  });
});

describe("values with and without fusion", () => {
  it("agree for many combinations of sign, factor, order and addend in one program", async () => {
    for (const dtype of ["float64", "float32"] as const) {
      const inputs = inputsOf(dtype);
      const outputs: Record<string, SymbolicTensor> = {};
      const references: Record<string, Dense> = {};
      const factors = [1, -1, 0.5, -2, dtype === "float32" ? 0.1 : 0.125];
      let salt = 0;
      for (const [sign, operation] of [
        [1, add],
        [-1, subtract],
      ] as const) {
        for (const alpha of factors) {
          for (const beta of factors) {
            for (const addend of ["row", "column", "full", "rank0", "larger"] as const) {
              for (const productFirst of [true, false]) {
                // A product of its own for each output, or common subexpressions would stop the fusion.
                const shift = ++salt / 1024;
                const ab = matmul(add(inputs.a, shift), inputs.b);
                const scaled = alpha === 1 ? ab : multiply(ab, alpha);
                const c = beta === 1 ? inputs[addend] : multiply(beta, inputs[addend]);
                const name = `${sign} ${alpha} ${beta} ${addend} ${productFirst}`;
                outputs[name] = productFirst ? operation(scaled, c) : operation(c, scaled);
                const shifted = product(
                  elementwise((a) => a + shift, VALUES.a),
                  VALUES.b,
                );
                const [p, q] = productFirst ? [alpha, sign * beta] : [sign * alpha, beta];
                references[name] = elementwise((x, y) => p * x + q * y, shifted, VALUES[addend]);
              }
            }
          }
        }
      }
      const results = await run(
        runtime,
        outputs,
        Object.fromEntries(NAMES.map((name) => [name, VALUES[name].data])),
      );
      const relative = dtype === "float64" ? 1e-14 : 1e-6;
      for (const [name, reference] of Object.entries(references)) {
        assert.deepEqual(results[name].shape, reference.shape, name);
        assertClose(results[name].data, reference.data, `${name} in ${dtype}`, { relative });
      }
      assert.ok(gemms(outputs).length >= 90, "most of them were fused");
    }
  });

  it("the fused graph has the shapes and dtypes of the plain one", () => {
    const { a, b, row, full } = inputsOf("float32");
    const plain = optimize([
      add(matmul(a, b), broadcastTo(row, [2, 4])),
      negate(subtract(full, multiply(matmul(a, b), scalar(3, "float32")))),
    ]);
    const fused = fuse(plain);
    plain.forEach(({ shape, dtype }, k) => {
      assert.deepEqual([fused[k].shape, fused[k].dtype], [shape, dtype]);
    });
  });
});

describe("convolutions with a bias", () => {
  const layout: Convolution = { strides: [1, 1], padding: [0, 0, 0, 0], dilations: [1, 1], groups: 1 };
  const image = input("image", [1, 2, 3, 3], "float32");
  const product = convolve(image, input("filters", [2, 2, 2, 2], "float32"), layout);
  const bias = input("bias", [2], "float32");
  const shaped = reshape(bias, [2, 1, 1]);
  const operatorsOf = (outputs: NamedOutputs) => operators(lowerToOnnx(outputs));

  it("add it in the same node, from either side", async () => {
    const sum = add(product, shaped);
    assert.deepEqual(
      operatorsOf({ y: sum }).filter((type) => type !== "Reshape"),
      ["Conv"],
    );
    assert.deepEqual(
      operatorsOf({ y: add(shaped, product) }).filter((type) => type !== "Reshape"),
      ["Conv"],
    );
    const values = {
      image: Array.from({ length: 18 }, (_, k) => k - 9),
      filters: Array.from({ length: 16 }, (_, k) => (k % 5) - 2),
      bias: [100, -200],
    };
    const { y } = await run(runtime, { y: sum }, values);
    const { plain } = await run(runtime, { plain: product }, values);
    assert.deepEqual(
      [...y.data],
      [...plain.data].map((value, k) => value + values.bias[Math.floor(k / 4)]),
    );
  });

  it("stay apart where the product itself is used or the addend is no bias", () => {
    assert.ok(operatorsOf({ y: add(product, shaped), product }).includes("Add"));
    assert.ok(operatorsOf({ y: add(product, reshape(bias, [2, 1])) }).includes("Add"));
  });
});
