/** Making folders. */
import { nodeFiles } from "./node-files.ts";

/** `mkdir -p`, step by step: Node's own never ends where a parent exists and takes no folders (`/proc`, Node 20). */
export async function makeFolders(path: string): Promise<void> {
  const { dirname } = nodeFiles();
  try {
    await makeFolder(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || (await exists(parent))) throw error;
    await makeFolders(parent);
    await makeFolder(path);
  }
}

/** False when something by that name is there already: `mkdir` decides, so that two processes never share a folder. */
export async function makeFolder(path: string): Promise<boolean> {
  try {
    await nodeFiles().mkdir(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return nodeFiles()
    .access(path)
    .then(
      () => true,
      () => false,
    );
}
