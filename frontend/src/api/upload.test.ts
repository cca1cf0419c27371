import { beforeEach, describe, expect, it, vi } from 'vitest';
import { connection } from '../state/connection';
import { ApiError, NetworkError } from './errors';
import { MAX_ATTEMPTS, newIdempotencyKey, submit, type Submission } from './upload';

type Answer = 'lost' | { status: number; body: unknown; headers?: Record<string, string> };

class FakeXhr {
  static answers: Answer[] = [];
  static sent: { headers: Record<string, string>; form: FormData }[] = [];
  readonly upload: { onprogress: ((event: ProgressEvent) => void) | null } = { onprogress: null };
  onload: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onabort: (() => void) | null = null;
  onloadend: (() => void) | null = null;
  status = 0;
  responseText = '';
  #headers: Record<string, string> = {};
  #answerHeaders: Record<string, string> = {};

  open(): void {}

  setRequestHeader(name: string, value: string): void {
    this.#headers[name] = value;
  }

  getResponseHeader(name: string): string | null {
    return this.#answerHeaders[name] ?? null;
  }

  send(form: FormData): void {
    FakeXhr.sent.push({ headers: this.#headers, form });
    const answer = FakeXhr.answers.shift() ?? 'lost';
    queueMicrotask(() => {
      this.upload.onprogress?.({ lengthComputable: true, loaded: 50, total: 100 } as ProgressEvent);
      if (answer === 'lost') this.onerror?.();
      else {
        this.status = answer.status;
        this.responseText = JSON.stringify(answer.body);
        this.#answerHeaders = answer.headers ?? {};
        this.onload?.();
      }
    });
  }

  abort(): void {
    this.onabort?.();
  }
}

const ACCEPTED: Answer = { status: 202, body: { job_id: 'job-1', status: 'QUEUED' } };
const submission: Submission = {
  file: new File(['photo'], 'cup.jpg', { type: 'image/jpeg' }),
  options: { prompt: '  on marble  ', aspectRatio: '16:9', imageSize: '2K', thinkingLevel: 'high', fresh: true },
  idempotencyKey: newIdempotencyKey(),
};
const delays: number[] = [];
const hooks = {
  sleep: (ms: number) => {
    delays.push(ms);
    return Promise.resolve();
  },
};

beforeEach(() => {
  vi.stubGlobal('XMLHttpRequest', FakeXhr);
  FakeXhr.answers = [];
  FakeXhr.sent = [];
  delays.length = 0;
});

describe('submit', () => {
  it('sends the photo with what was chosen for it', async () => {
    FakeXhr.answers = [ACCEPTED];
    const shares: number[] = [];
    const answer = await submit(submission, { ...hooks, onProgress: (share) => shares.push(share) });
    expect(answer.job_id).toBe('job-1');
    const form = FakeXhr.sent[0]?.form;
    expect(Object.fromEntries(form?.entries() ?? [])).toMatchObject({
      prompt: 'on marble',
      aspect_ratio: '16:9',
      image_size: '2K',
      thinking_level: 'high',
      fresh: 'true',
    });
    expect((form?.get('file') as File).name).toBe('cup.jpg');
    expect(shares).toEqual([0.5]);
  });

  it('keeps the Idempotency-Key over every retry, so that a lost response never makes a second job', async () => {
    FakeXhr.answers = ['lost', { status: 503, body: {} }, 'lost', ACCEPTED];
    await submit(submission, hooks);
    const keys = FakeXhr.sent.map((each) => each.headers['Idempotency-Key']);
    expect(keys).toEqual(Array.from({ length: 4 }, () => submission.idempotencyKey));
    expect(delays).toEqual([1000, 2000, 4000]);
  });

  it('waits as long as the server asks', async () => {
    FakeXhr.answers = [{ status: 503, body: {}, headers: { 'Retry-After': '7' } }, ACCEPTED];
    await submit(submission, hooks);
    expect(delays).toEqual([7000]);
  });

  it('gives up after a bounded number of attempts', async () => {
    await expect(submit(submission, hooks)).rejects.toBeInstanceOf(NetworkError);
    expect(FakeXhr.sent).toHaveLength(MAX_ATTEMPTS);
    expect(connection.isLost).toBe(true);
  });

  it.each([422, 413, 402, 429])('does not repeat what was rejected with %s', async (status) => {
    const body = { title: 'Rejected', status, code: 'too_dark', detail: 'The picture is too dark.' };
    FakeXhr.answers = [{ status, body, headers: { 'X-Request-Id': 'req-1' } }];
    const error = await submit(submission, hooks).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect((error as ApiError).problem.detail).toBe('The picture is too dark.');
    expect((error as ApiError).requestId).toBe('req-1');
    expect(FakeXhr.sent).toHaveLength(1);
  });
});

describe('newIdempotencyKey', () => {
  it('is another one each time and of 128 random bits', () => {
    const keys = new Set(Array.from({ length: 500 }, newIdempotencyKey));
    expect(keys.size).toBe(500);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{32}$/);
  });
});
