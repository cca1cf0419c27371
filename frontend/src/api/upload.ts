import { connection } from '../state/connection';
import { ApiError, isTransient, NetworkError, parseJson, retryAfter, toProblem } from './errors';
import type { AcceptedJob, AspectRatio, ImageSize, ThinkingLevel } from './types';

export interface JobOptions {
  prompt: string;
  aspectRatio: AspectRatio;
  imageSize: ImageSize;
  /** The model decides by itself where it is left out. */
  thinkingLevel?: ThinkingLevel | undefined;
  fresh: boolean;
}

export interface Submission {
  file: File;
  options: JobOptions;
  /** Stays the same for every retry of this submission, so that the server makes one job. */
  idempotencyKey: string;
}

export interface UploadHooks {
  signal?: AbortSignal;
  onProgress?: (share: number) => void;
  onRetry?: (attempt: number) => void;
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export const MAX_ATTEMPTS = 6;
const LONGEST_DELAY_MS = 15_000;

/** A new key. `crypto.randomUUID` exists on https and localhost only. */
export function newIdempotencyKey(): string {
  const parts = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(parts, (part) => part.toString(16).padStart(8, '0')).join('');
}

/** Send a photo; on a lost connection or a server error, send it again under the same key. Throws `ApiError`, `NetworkError`. */
export async function submit(submission: Submission, hooks: UploadHooks = {}): Promise<AcceptedJob> {
  const sleep = hooks.sleep ?? pause;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(submission, hooks);
    } catch (error) {
      if (!mayRepeat(error) || attempt >= MAX_ATTEMPTS) throw error;
      hooks.onRetry?.(attempt + 1);
      await sleep(delayMs(attempt, error), hooks.signal);
    }
  }
}

function mayRepeat(error: unknown): boolean {
  // a person should see a used-up quota at once
  return isTransient(error) && !(error instanceof ApiError && error.status === 429);
}

function delayMs(attempt: number, error: unknown): number {
  const asked = error instanceof ApiError ? error.retryAfterS : null;
  return Math.min(asked === null ? 500 * 2 ** attempt : asked * 1000, LONGEST_DELAY_MS);
}

function send({ file, options, idempotencyKey }: Submission, hooks: UploadHooks): Promise<AcceptedJob> {
  const form = new FormData();
  form.append('file', file, file.name);
  if (options.prompt.trim()) form.append('prompt', options.prompt.trim());
  form.append('aspect_ratio', options.aspectRatio);
  form.append('image_size', options.imageSize);
  if (options.thinkingLevel) form.append('thinking_level', options.thinkingLevel);
  if (options.fresh) form.append('fresh', 'true');
  // XMLHttpRequest, because fetch reports no upload progress
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    const abort = (): void => {
      call.abort();
    };
    call.open('POST', '/api/v1/process');
    call.setRequestHeader('Accept', 'application/json');
    call.setRequestHeader('Idempotency-Key', idempotencyKey);
    call.upload.onprogress = (event) => {
      if (event.lengthComputable) hooks.onProgress?.(event.loaded / event.total);
    };
    call.onload = () => {
      connection.reached();
      const body = parseJson(call.responseText);
      if (call.status >= 200 && call.status < 300) resolve(body as AcceptedJob);
      else {
        const problem = toProblem(call.status, body);
        reject(
          new ApiError(
            problem,
            call.getResponseHeader('X-Request-Id'),
            retryAfter(call.getResponseHeader('Retry-After')),
          ),
        );
      }
    };
    call.onerror = () => {
      connection.lost();
      reject(new NetworkError());
    };
    call.onabort = () => {
      reject(new DOMException('The upload was stopped.', 'AbortError'));
    };
    call.onloadend = () => hooks.signal?.removeEventListener('abort', abort);
    if (hooks.signal?.aborted) {
      reject(new DOMException('The upload was stopped.', 'AbortError'));
      return;
    }
    hooks.signal?.addEventListener('abort', abort);
    call.send(form);
  });
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new DOMException('The upload was stopped.', 'AbortError'));
    });
  });
}
