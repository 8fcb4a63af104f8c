/**
 * Gives the event loop its turn: timers, input and, in a page, painting. A timer of 0 ms would do the same and cost 4 ms in
 * browsers, which slow down timers that follow one another.
 */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
