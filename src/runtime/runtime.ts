/** Chooses the platform's runtime. */

import type { Device, Runtime, SessionKind } from "./session.ts";

export interface RuntimeOptions {
  device?: Device;
  threads?: number;
  session?: SessionKind;
}

export async function openRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { openNativeRuntime } = await import("./native.ts");
  return openNativeRuntime(options.threads ?? 2);
}
