#!/usr/bin/env node
/** The command `natgrad`. */
import { runCommandLine } from "./program.ts";

process.exitCode = await runCommandLine(process.argv.slice(2));
