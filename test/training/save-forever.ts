/** Saves checkpoint after checkpoint until it is killed; run by safetensors.test.ts. Says so once the first is there. */
import { writeSafetensors } from "../../src/training/safetensors-file.ts";

const path = process.argv[2];
for (let version = 1; ; version++) {
  const weights = { shape: [64, 1024], data: new Float64Array(65_536).fill(version) };
  const biases = { shape: [1023], data: new Float32Array(1023).fill(version) };
  await writeSafetensors(path, { weights, biases }, { version: String(version) });
  if (version === 1) process.stdout.write("saved\n");
}
