import { useSyncExternalStore } from 'react';
import type { JobOptions } from '../api/upload';

/** What a person has chosen but not sent. */
export interface Draft {
  files: readonly File[];
  options: JobOptions;
}

const KEY = 'draft-options';
const EMPTY: JobOptions = { prompt: '', aspectRatio: '1:1', imageSize: '1K', fresh: false };

/** Stays when another view is opened; the options stay when the page is loaded again, files can't. */
class DraftStore {
  #now: Draft = { files: [], options: kept() };
  readonly #listeners = new Set<() => void>();

  get now(): Draft {
    return this.#now;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  setFiles(change: (files: readonly File[]) => readonly File[]): void {
    this.#set({ ...this.#now, files: change(this.#now.files) });
  }

  setOptions(options: JobOptions): void {
    sessionStorage.setItem(KEY, JSON.stringify(options));
    this.#set({ ...this.#now, options });
  }

  clear(): void {
    sessionStorage.removeItem(KEY);
    this.#set({ files: [], options: EMPTY });
  }

  #set(draft: Draft): void {
    this.#now = draft;
    for (const listener of this.#listeners) listener();
  }
}

function kept(): JobOptions {
  try {
    return { ...EMPTY, ...(JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Partial<JobOptions>) };
  } catch {
    return EMPTY;
  }
}

export const draft = new DraftStore();

export function useDraft(): Draft {
  return useSyncExternalStore(draft.subscribe, () => draft.now);
}
