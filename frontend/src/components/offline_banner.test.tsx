import { QueryClientProvider, useQuery } from '@tanstack/react-query';
import { act, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { getJson } from '../api/client';
import { createQueryClient } from '../state/query_client';
import { json, noNetwork, serve } from '../test/server';
import { OfflineBanner } from './offline_banner';

function Answer() {
  const { data } = useQuery({
    queryKey: ['answer'],
    queryFn: ({ signal }) => getJson<{ n: number }>('/api/v1/answer', { signal }),
  });
  return <p>answer {data?.n}</p>;
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

describe('OfflineBanner', () => {
  it('is shown while the server is unreachable; then it goes and every view is refreshed', async () => {
    let isThere = true;
    let n = 0;
    serve((call) => {
      if (!isThere) return noNetwork();
      if (call.url.pathname === '/api/v1/answer') n += 1;
      return json({ n });
    });
    render(
      <QueryClientProvider client={createQueryClient()}>
        <OfflineBanner />
        <Answer />
      </QueryClientProvider>,
    );
    await pass(10);
    expect(screen.getByText('answer 1')).toBeInTheDocument();
    expect(screen.queryByTestId('offline-banner')).not.toBeInTheDocument();

    isThere = false;
    act(() => {
      window.dispatchEvent(new Event('offline'));
    });
    await pass(60_000);
    expect(screen.getByTestId('offline-banner')).toHaveTextContent('Offline, reconnecting');

    isThere = true;
    await pass(11_000);
    expect(screen.queryByTestId('offline-banner')).not.toBeInTheDocument();
    expect(screen.getByText('answer 2')).toBeInTheDocument();
  });

  it('keeps trying, however long it takes', async () => {
    let looks = 0;
    serve(() => {
      looks += 1;
      return looks < 30 ? noNetwork() : json({ n: 7 });
    });
    render(
      <QueryClientProvider client={createQueryClient()}>
        <OfflineBanner />
        <Answer />
      </QueryClientProvider>,
    );
    await pass(400_000);
    expect(screen.getByText('answer 7')).toBeInTheDocument();
  });
});
