import { useSyncExternalStore } from 'react';
import { type JobOptions, newIdempotencyKey, submit, type UploadHooks } from '../api/upload';
import { ApiError } from '../api/errors';
import type { AcceptedJob, Problem } from '../api/types';

export type UploadState = 'queued' | 'uploading' | 'checking' | 'retrying' | 'accepted' | 'rejected' | 'failed';

export interface Upload {
  id: string;
  file: File;
  previewUrl: string;
  options: JobOptions;
  state: UploadState;
  progress: number;
  attempt: number;
  jobId: string | null;
  problem: Problem | null;
  requestId: string | null;
}

type Submit = typeof submit;
const PARALLEL = 3;

/**
 * The uploads of this page; they continue when another view is opened. An upload's id is its
 * Idempotency-Key, so that sending it again never makes a second job.
 */
export class Uploads {
  #items: readonly Upload[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stops = new Map<string, AbortController>();
  readonly #submit: Submit;

  constructor(submitter: Submit = submit) {
    this.#submit = submitter;
  }

  get items(): readonly Upload[] {
    return this.#items;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Queue files. Returns the ids of their uploads. */
  add(files: readonly File[], options: JobOptions): string[] {
    const added = files.map((file): Upload => ({
      id: newIdempotencyKey(),
      file,
      previewUrl: URL.createObjectURL(file),
      options,
      state: 'queued',
      progress: 0,
      attempt: 1,
      jobId: null,
      problem: null,
      requestId: null,
    }));
    this.#set([...added, ...this.#items]);
    this.#pump();
    return added.map((item) => item.id);
  }

  /** Send a failed upload again, under the same key. */
  again(id: string): void {
    this.#change(id, { state: 'queued', progress: 0, problem: null, requestId: null });
    this.#pump();
  }

  remove(id: string): void {
    this.#stops.get(id)?.abort();
    const item = this.#items.find((each) => each.id === id);
    if (item) URL.revokeObjectURL(item.previewUrl);
    this.#set(this.#items.filter((each) => each.id !== id));
    this.#pump();
  }

  clear(): void {
    for (const item of this.#items) this.remove(item.id);
  }

  #pump(): void {
    let room = PARALLEL - this.#stops.size;
    for (const item of [...this.#items].reverse()) {
      if (room <= 0) return;
      if (item.state !== 'queued') continue;
      room -= 1;
      void this.#run(item);
    }
  }

  async #run(item: Upload): Promise<void> {
    const stop = new AbortController();
    this.#stops.set(item.id, stop);
    this.#change(item.id, { state: 'uploading', attempt: 1 });
    const hooks: UploadHooks = {
      signal: stop.signal,
      onProgress: (share) => {
        this.#change(item.id, { state: share >= 1 ? 'checking' : 'uploading', progress: share });
      },
      onRetry: (attempt) => {
        this.#change(item.id, { state: 'retrying', attempt });
      },
    };
    try {
      const submission = { file: item.file, options: item.options, idempotencyKey: item.id };
      this.#accepted(item.id, await this.#submit(submission, hooks));
    } catch (error) {
      if (!stop.signal.aborted) this.#failed(item.id, error);
    } finally {
      this.#stops.delete(item.id);
      this.#pump();
    }
  }

  #accepted(id: string, job: AcceptedJob): void {
    this.#change(id, { state: 'accepted', progress: 1, jobId: job.job_id });
  }

  #failed(id: string, error: unknown): void {
    if (error instanceof ApiError) {
      const isFinal = error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 401;
      this.#change(id, {
        state: isFinal ? 'rejected' : 'failed',
        problem: error.problem,
        requestId: error.requestId,
      });
      return;
    }
    const detail = 'The connection was lost. You can send the photo again: that never makes a second job.';
    const problem = { title: 'No connection', status: 0, code: 'network', detail };
    this.#change(id, { state: 'failed', problem });
  }

  #change(id: string, change: Partial<Upload>): void {
    this.#set(this.#items.map((item) => (item.id === id ? { ...item, ...change } : item)));
  }

  #set(items: readonly Upload[]): void {
    this.#items = items;
    for (const listener of this.#listeners) listener();
  }
}

export const uploads = new Uploads();

export function useUploads(): readonly Upload[] {
  return useSyncExternalStore(uploads.subscribe, () => uploads.items);
}
