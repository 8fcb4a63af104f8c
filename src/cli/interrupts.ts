/** Ctrl-C: the first one asks the work to stop, the second one ends the process. */
import { exitCodes, Interrupted } from "./failure.ts";

export interface Interrupts {
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** @throws Interrupted when a signal came */
  check(): void;
  stop(): void;
}

/**
 * Listens for SIGINT and SIGTERM until `stop` is called.
 *
 * @param onFirst told when the first signal comes
 */
export function watchInterrupts(onFirst: (signal: string) => void = () => {}): Interrupts {
  const controller = new AbortController();
  let received: "SIGINT" | "SIGTERM" | undefined;
  const listener = (signal: NodeJS.Signals) => {
    if (received) process.exit(signal === "SIGTERM" ? exitCodes.terminated : exitCodes.interrupted);
    received = signal as "SIGINT" | "SIGTERM";
    onFirst(signal);
    controller.abort();
  };
  process.on("SIGINT", listener);
  process.on("SIGTERM", listener);
  return {
    signal: controller.signal,
    check() {
      if (received) throw new Interrupted(received);
    },
    stop() {
      process.off("SIGINT", listener);
      process.off("SIGTERM", listener);
    },
  };
}
