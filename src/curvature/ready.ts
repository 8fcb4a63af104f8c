/** Results that are there already or will be: what is small is computed at once, what is large on another thread. */

/** Hands a result on, at once where it is there already. */
export function whenReady<T, R>(value: T | Promise<T>, next: (value: T) => R): R | Promise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Hands two results on, at once where both are there already. */
export function whenBoth<T, R>(
  first: T | Promise<T>,
  second: T | Promise<T>,
  next: (first: T, second: T) => R,
): R | Promise<R> {
  if (first instanceof Promise || second instanceof Promise) {
    return Promise.all([first, second]).then(([a, b]) => next(a, b));
  }
  return next(first, second);
}
