import { describe, expect, it, vi } from 'vitest';
import { NetworkError, ApiError } from '../api/errors';
import type { AcceptedJob } from '../api/types';
import type { JobOptions, Submission, UploadHooks } from '../api/upload';
import { job } from '../test/jobs';
import { Uploads } from './uploads';

const OPTIONS: JobOptions = { prompt: '', aspectRatio: '1:1', imageSize: '1K', fresh: false };

/** A `submit` that the test resolves or rejects. */
function sender() {
  const open: {
    submission: Submission;
    hooks: UploadHooks;
    resolve: (job: string) => void;
    reject: (error: unknown) => void;
  }[] = [];
  const submit = vi.fn(
    (submission: Submission, hooks: UploadHooks = {}) =>
      new Promise<AcceptedJob>((resolve, reject) => {
        open.push({
          submission,
          hooks,
          resolve: (job_id) => {
            resolve({ job_id, state: 'QUEUED', status: 'QUEUED', links: job().links });
          },
          reject,
        });
      }),
  );
  return { open, submit };
}

function photos(count: number): File[] {
  return Array.from({ length: count }, (_, index) => new File(['x'], `photo-${String(index)}.jpg`));
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

describe('Uploads', () => {
  it('sends three at a time, each under a key of its own', async () => {
    const { open, submit } = sender();
    const uploads = new Uploads(submit);
    uploads.add(photos(5), OPTIONS);
    expect(open).toHaveLength(3);
    expect(uploads.items.filter((item) => item.state === 'queued')).toHaveLength(2);
    open[0]?.resolve('job-a');
    await settle();
    expect(open).toHaveLength(4);
    expect(new Set(open.map((each) => each.submission.idempotencyKey)).size).toBe(4);
    expect(uploads.items.find((item) => item.jobId === 'job-a')?.state).toBe('accepted');
  });

  it('sends a lost one again under the key it had', async () => {
    const { open, submit } = sender();
    const uploads = new Uploads(submit);
    const [id = ''] = uploads.add(photos(1), OPTIONS);
    open[0]?.reject(new NetworkError());
    await settle();
    expect(uploads.items[0]).toMatchObject({ state: 'failed', problem: { code: 'network' } });
    uploads.again(id);
    expect(open[1]?.submission.idempotencyKey).toBe(open[0]?.submission.idempotencyKey);
    open[1]?.resolve('job-a');
    await settle();
    expect(uploads.items[0]).toMatchObject({ state: 'accepted', jobId: 'job-a', problem: null });
  });

  it('keeps the problem of a rejected photo and sends the others', async () => {
    const { open, submit } = sender();
    const uploads = new Uploads(submit);
    uploads.add(photos(2), OPTIONS);
    const problem = { title: 'Unprocessable', status: 422, code: 'too_dark', detail: 'Too dark.' };
    open[0]?.reject(new ApiError(problem, 'req-9'));
    open[1]?.resolve('job-b');
    await settle();
    expect(uploads.items.map((item) => item.state).sort()).toEqual(['accepted', 'rejected']);
    expect(uploads.items.find((item) => item.state === 'rejected')).toMatchObject({ problem, requestId: 'req-9' });
  });

  it('stops sending an upload that is removed, and starts the next', async () => {
    const { open, submit } = sender();
    const uploads = new Uploads(submit);
    const ids = uploads.add(photos(4), OPTIONS);
    const running = open[0];
    uploads.remove(running?.submission.idempotencyKey ?? '');
    running?.reject(new DOMException('stopped', 'AbortError'));
    await settle();
    expect(running?.hooks.signal?.aborted).toBe(true);
    expect(uploads.items).toHaveLength(ids.length - 1);
    expect(open).toHaveLength(4);
  });
});
