/**
 * Where the programs of a step spend their time: ONNX Runtime's own profile of every kernel, by phase and by class.
 *
 * The sessions are those of the package `onnxruntime-node`, which hands the profile out; the library and its kernels are the same as
 * those of natgrad's native session.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { OnnxModel } from "../src/graph/onnx-model.ts";
import type { Arrays, Runtime } from "../src/runtime/index.ts";
import type { Session } from "../src/runtime/session.ts";

/** Kernels that multiply matrices or filters; every other one reads and writes tensors once. */
const PRODUCTS: ReadonlySet<string> = new Set([
  ...["MatMul", "Gemm", "FusedMatMul", "FusedGemm"],
  ...["Conv", "FusedConv", "ConvTranspose"],
]);

/** What the kernels of one class took in a step. */
export interface KernelCosts {
  readonly seconds: number;
  /** Read and written, as the sizes of the kernels' inputs and outputs add up. */
  readonly bytes: number;
}

/** A step's kernels. */
export interface StepProfile {
  readonly products: KernelCosts;
  readonly passes: KernelCosts;
}

/** One event of ONNX Runtime's profile; sizes are decimal. */
interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args: Readonly<Record<string, string>>;
}

/** A runtime whose sessions are profiled; `phase` says what their runs belong to. */
export class ProfilingRuntime implements Runtime {
  /** What methods choose their programs by: those profiled are those of native sessions, which may overwrite their inputs as these do. */
  readonly kind = "native";
  readonly device = "cpu";
  readonly threads: number;
  phase = "";
  readonly #folder = mkdtempSync(join(tmpdir(), "natgrad-profile-"));
  readonly #sessions: {
    readonly session: InferenceSession;
    readonly file: string;
    readonly phases: string[];
  }[] = [];
  #loads = 0;

  constructor(threads: number) {
    this.threads = threads;
  }

  describe(): string[] {
    return ["onnxruntime-node, profiled"];
  }

  async load(model: OnnxModel): Promise<Session> {
    const file = `${this.#loads++}_`;
    const session = await InferenceSession.create(model.bytes, {
      graphOptimizationLevel: model.float64 ? "basic" : "all",
      intraOpNumThreads: this.threads,
      enableProfiling: true,
      profileFilePrefix: join(this.#folder, file),
    });
    const phases: string[] = [];
    this.#sessions.push({ session, file, phases });
    const tensors = (arrays: Arrays, values: OnnxModel["inputs"]) =>
      Object.fromEntries(
        values
          .filter(({ name }) => arrays[name] !== undefined)
          .map(({ name, dtype, shape }) => [name, new Tensor(dtype, arrays[name] as Float32Array, shape)]),
      );
    return {
      kind: this.kind,
      bind: (feeds: Arrays, fetches: Arrays) => {
        const [given, filled] = [tensors(feeds, model.inputs), tensors(fetches, model.outputs)];
        return {
          run: async () => {
            phases.push(this.phase);
            await session.run(given, filled);
          },
          dispose() {},
        };
      },
      dispose() {},
    };
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The mean of all steps taken in a phase; the runtime cannot run any more. */
  profile(phase: string, steps: number): StepProfile {
    for (const { session } of this.#sessions) session.endProfiling();
    const sums = { products: { seconds: 0, bytes: 0 }, passes: { seconds: 0, bytes: 0 } };
    for (const { file, phases } of this.#sessions) {
      for (const { args, dur } of kernelsOf(this.#readEvents(file), phases, phase)) {
        const sum = sums[PRODUCTS.has(args.op_name) ? "products" : "passes"];
        sum.seconds += dur / 1e6 / steps;
        const sizes = [args.activation_size, args.parameter_size, args.output_size];
        sum.bytes += sizes.reduce((total, size) => total + Number(size), 0) / steps;
      }
    }
    return sums;
  }

  #readEvents(prefix: string): ProfileEvent[] {
    const file = readdirSync(this.#folder).find((name) => name.startsWith(prefix))!;
    return JSON.parse(readFileSync(join(this.#folder, file), "utf8"));
  }
}

/** Kernels of the runs that belong to a phase. */
function kernelsOf(
  events: readonly ProfileEvent[],
  phases: readonly string[],
  phase: string,
): ProfileEvent[] {
  const runs = events.filter(({ name }) => name === "model_run").sort((a, b) => a.ts - b.ts);
  const wanted = runs.filter((_, k) => phases[k] === phase);
  const kernels = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"));
  return kernels.filter(({ ts }) => wanted.some((run) => run.ts <= ts && ts < run.ts + run.dur));
}
