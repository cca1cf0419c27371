import { type ComponentType, lazy } from 'react';

const ATTEMPTS = 6;
const FIRST_PAUSE_MS = 500;

/** `load`, repeated if it fails: a view that comes late is better than one that breaks. */
export async function patiently<T>(
  load: () => Promise<T>,
  sleep: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await load();
    } catch (error) {
      if (attempt >= ATTEMPTS) throw error;
      await sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1));
    }
  }
}

/** A part of the page that is loaded when it is first shown. */
export function loadPart<Props>(load: () => Promise<{ default: ComponentType<Props> }>) {
  return lazy(() => patiently(load));
}
