import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { MemoryRouter } from 'react-router';
import { describe, expect, it } from 'vitest';
import type { GuardrailLimits } from '../api/types';
import { createQueryClient } from '../state/query_client';
import { json, problem, serve } from '../test/server';
import { NewJobPage } from './new_job';

const LIMITS: GuardrailLimits = {
  formats: ['JPEG'],
  max_bytes: 100,
  min_side_px: 32,
  max_side_px: 8192,
  max_megapixels: 12.5,
  working_megapixels: 12.5,
  max_frames: 1,
  max_prompt_chars: 2000,
  aspect_ratios: ['1:1'],
  thinking_levels: [],
};
const PHOTOS = [1, 2, 3].map((number) => new File(['x'], `${String(number)}.jpg`, { type: 'image/jpeg' }));

/** An API where a picture costs 8 cents, with so much left for today, and that takes up to 100 bytes. */
function open(left: number) {
  const calls = serve(({ url, body }) => {
    if (url.pathname === '/api/v1/guardrail/limits') return json(LIMITS);
    if (url.pathname !== '/api/v1/quote') return problem(404, 'not_found', 'Not here.');
    const { count, image_size } = body as { count: number; image_size: string };
    const total = count * (image_size === '4K' ? 0.16 : 0.08);
    return json({ count, total_usd: total, remaining_usd: left, fits: total <= left });
  });
  show(false);
  return calls;
}

function show(isAlone = true) {
  if (isAlone) serve(() => problem(404, 'not_found', 'Not here.'));
  return render(
    <QueryClientProvider client={createQueryClient()}>
      <MemoryRouter>
        <NewJobPage />
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

describe('the price of what is about to be sent', () => {
  it('stands on the button and follows the number of photos and the size', async () => {
    const calls = open(19.76);
    expect(screen.getByTestId('price')).toHaveTextContent('Choose a photo first.');
    expect(calls.filter((call) => call.url.pathname === '/api/v1/quote')).toEqual([]);
    await userEvent.upload(screen.getByTestId('file-input'), PHOTOS);
    await waitFor(() => {
      expect(screen.getByTestId('submit')).toHaveTextContent('Start 3 jobs, up to $0.24; $19.76 left today');
    });
    await userEvent.selectOptions(screen.getByTestId('image-size'), '4K');
    await waitFor(() => {
      expect(screen.getByTestId('submit')).toHaveTextContent('Start 3 jobs, up to $0.48; $19.76 left today');
    });
  });

  it('says before sending that the money is not enough', async () => {
    open(0.1);
    await userEvent.upload(screen.getByTestId('file-input'), PHOTOS);
    await waitFor(() => {
      expect(screen.getByTestId('submit')).toHaveAccessibleDescription(/not enough: not all will start/);
    });
  });
});

describe('what has been chosen', () => {
  it('stays when one leaves the page and comes back', async () => {
    const { unmount } = show();
    await userEvent.upload(screen.getByTestId('file-input'), PHOTOS);
    await userEvent.type(screen.getByTestId('prompt'), 'on slate');
    unmount();
    show();
    expect(screen.getAllByTestId('chosen')).toHaveLength(3);
    expect(screen.getByTestId('prompt')).toHaveValue('on slate');
  });

  it('is held back with the reason where the API would refuse it', async () => {
    open(20);
    const photos = [...PHOTOS, new File(['x'.repeat(101)], 'large.jpg', { type: 'image/jpeg' })];
    await userEvent.upload(screen.getByTestId('file-input'), photos);
    expect(await screen.findByText(/at most 100 B. Save it smaller/)).toBeInTheDocument();
    await waitFor(() => {
      expect(screen.getByTestId('submit')).toHaveTextContent('Start 3 jobs, up to $0.24');
    });
  });

  it('may take its scene from a list', async () => {
    show();
    await userEvent.click(screen.getByRole('button', { name: 'Marble' }));
    expect(screen.getByTestId('prompt')).toHaveValue('On a marble counter, in morning light');
  });
});
