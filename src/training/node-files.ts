/** Node's modules for files, where there is a Node. */
import { UsageError } from "../errors.ts";

/**
 * They are not imported, so that bundlers for browsers do not look for them: a page has the same trainer, without the
 * calls that take paths.
 *
 * @throws UsageError outside Node
 */
export function nodeFiles() {
  const { process } = globalThis as { process?: NodeJS.Process };
  const builtin = process?.getBuiltinModule;
  if (!builtin) {
    throw new UsageError(
      "files need Node 20.16 or newer (in a browser keep trainer.toBytes(), and give it to resumeTrainer in place of a path)",
    );
  }
  return { ...builtin("node:fs/promises"), ...builtin("node:path") };
}
