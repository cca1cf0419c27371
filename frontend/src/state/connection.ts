import { useSyncExternalStore } from 'react';

/** Whether the last request reached the server; shared by the banner, the queries and the uploads. */
class Connection {
  #isLost = false;
  readonly #listeners = new Set<() => void>();

  get isLost(): boolean {
    return this.#isLost;
  }

  readonly lost = (): void => {
    this.#set(true);
  };

  readonly reached = (): void => {
    this.#set(false);
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #set(isLost: boolean): void {
    if (isLost === this.#isLost) return;
    this.#isLost = isLost;
    for (const listener of this.#listeners) listener();
  }
}

export const connection = new Connection();

export function useIsOffline(): boolean {
  return useSyncExternalStore(connection.subscribe, () => connection.isLost);
}
