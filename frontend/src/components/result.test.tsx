import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { JobStatus } from '../api/types';
import { createQueryClient } from '../state/query_client';
import { job, stage } from '../test/jobs';
import { problem, serve } from '../test/server';
import { Result } from './result';

const DONE = job({
  state: 'COMPLETED',
  filename: 'coffee.jpg',
  progress: 1,
  stages: [
    stage({ stage: 'guardrail', state: 'SUCCEEDED' }),
    stage({ stage: 'rembg', state: 'SUCCEEDED', output: '/rembg' }),
    stage({ stage: 'realesrgan', state: 'SUCCEEDED', output: '/realesrgan' }),
    stage({ stage: 'nano_banana', state: 'SUCCEEDED', output: '/nano_banana' }),
  ],
});

interface Saved {
  href: string;
  download: string;
  target: string;
}

/** The links that the page follows by itself. */
function followed(): Saved[] {
  const saved: Saved[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
    saved.push({ href: this.getAttribute('href') ?? '', download: this.download, target: this.target });
  });
  return saved;
}

function open(shown: JobStatus, image: () => Response) {
  const calls = serve(({ url }) => {
    return url.pathname.includes('/images/') ? image() : problem(404, 'not_found', 'Not here.');
  });
  render(
    <QueryClientProvider client={createQueryClient()}>
      <Result job={shown} />
    </QueryClientProvider>,
  );
  return calls;
}

const picture = (): Response => new Response('png', { headers: { 'Content-Type': 'image/png' } });

function redirect(): Response {
  const response = new Response(null);
  Object.defineProperty(response, 'type', { value: 'opaqueredirect' });
  return response;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('Result', () => {
  it('shows the placed picture first, and another when it is pressed', async () => {
    open(DONE, picture);
    expect(screen.getByTestId('picture')).toHaveAttribute('data-picture', 'nano_banana');
    await userEvent.click(screen.getByTestId('show-rembg'));
    expect(screen.getByTestId('picture')).toHaveAttribute('data-picture', 'rembg');
    expect(screen.getByTestId('download')).toHaveAttribute('data-picture', 'rembg');
  });

  it('shows the newest picture of a running job, with what is done', () => {
    const running = job({
      stages: [
        stage({ stage: 'guardrail', state: 'SUCCEEDED' }),
        stage({ stage: 'rembg', state: 'SUCCEEDED', output: '/rembg' }),
        stage({ stage: 'realesrgan', state: 'RUNNING', tiles_done: 3, tiles_total: 12, expected_s: 41 }),
        stage({ stage: 'nano_banana' }),
      ],
      progress: 0.5,
    });
    open(running, picture);
    expect(screen.getByTestId('picture')).toHaveAttribute('data-picture', 'rembg');
    expect(screen.getByTestId('doing')).toHaveTextContent('Upscaling, 3 of 12 tiles, about 41 s left');
    expect(screen.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '56');
  });
});

describe('Download', () => {
  it("saves the bytes under the photo's name where the API returns them", async () => {
    const saved = followed();
    const calls = open(DONE, picture);
    await userEvent.click(screen.getByTestId('download'));
    await waitFor(() => {
      expect(saved).toEqual([{ href: 'blob:preview', download: 'coffee-placed.png', target: '' }]);
    });
    const asked = calls.filter((call) => call.url.pathname.includes('/images/'));
    expect(asked.map((call) => call.url.search)).toEqual(['?download=1']);
  });

  it('leaves a link of the store to the browser, beside this page', async () => {
    const saved = followed();
    open(DONE, redirect);
    await userEvent.click(screen.getByTestId('download'));
    const href = `/api/v1/jobs/${DONE.job_id}/images/nano_banana?download=1`;
    await waitFor(() => {
      expect(saved).toEqual([{ href, download: '', target: '_blank' }]);
    });
  });

  it('says in the page why a picture could not be saved', async () => {
    const saved = followed();
    open(DONE, () => problem(410, 'image_expired', 'The pictures of this job were deleted.'));
    await userEvent.click(screen.getByTestId('download'));
    expect(await screen.findByRole('alert')).toHaveTextContent('The pictures of this job were deleted.');
    expect(saved).toEqual([]);
  });
});
