import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { MemoryRouter } from 'react-router';
import { describe, expect, it } from 'vitest';
import { createQueryClient } from '../state/query_client';
import { json, problem, serve } from '../test/server';
import { NewJobPage } from './new_job';

const PHOTOS = [1, 2, 3].map((number) => new File(['x'], `${String(number)}.jpg`, { type: 'image/jpeg' }));

/** An API where a picture costs 8 cents, with so much left for today. */
function open(left: number) {
  const calls = serve(({ url, body }) => {
    if (url.pathname !== '/api/v1/quote') return problem(404, 'not_found', 'Not here.');
    const { count, image_size } = body as { count: number; image_size: string };
    const total = count * (image_size === '4K' ? 0.16 : 0.08);
    return json({ count, total_usd: total, remaining_usd: left, fits: total <= left });
  });
  render(
    <QueryClientProvider client={createQueryClient()}>
      <MemoryRouter>
        <NewJobPage />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return calls;
}

describe('the price of what is about to be sent', () => {
  it('follows the number of photos and the size', async () => {
    const calls = open(19.76);
    expect(screen.getByTestId('price')).toHaveTextContent('Choose a photo first.');
    expect(calls.filter((call) => call.url.pathname === '/api/v1/quote')).toEqual([]);
    await userEvent.upload(screen.getByTestId('file-input'), PHOTOS);
    await waitFor(() => {
      expect(screen.getByTestId('price')).toHaveTextContent('Up to $0.24; $19.76 left today');
    });
    await userEvent.selectOptions(screen.getByTestId('image-size'), '4K');
    await waitFor(() => {
      expect(screen.getByTestId('price')).toHaveTextContent('Up to $0.48; $19.76 left today');
    });
    expect(screen.getByTestId('submit')).toHaveAccessibleDescription('Up to $0.48; $19.76 left today');
  });

  it('says before sending that the money is not enough', async () => {
    open(0.1);
    await userEvent.upload(screen.getByTestId('file-input'), PHOTOS);
    await waitFor(() => {
      expect(screen.getByTestId('price')).toHaveTextContent('only $0.10 left today: not all will start');
    });
  });
});
