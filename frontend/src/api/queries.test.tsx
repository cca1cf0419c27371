import { QueryClientProvider } from '@tanstack/react-query';
import { act, render, screen } from '@testing-library/react';
import { useEffect } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createQueryClient } from '../state/query_client';
import { job } from '../test/jobs';
import { type Call, json, noNetwork, serve } from '../test/server';
import { useCancelJob, useJob } from './queries';
import type { JobStatus } from './types';

const ID = job().job_id;

let shown: (string | undefined)[] = [];

function Follow() {
  const { data } = useJob(ID);
  useEffect(() => {
    shown.push(data?.state);
  }, [data?.state]);
  const cancel = useCancelJob();
  return (
    <button
      type="button"
      onClick={() => {
        cancel.mutate(ID);
      }}
    >
      {data?.state ?? 'unknown'}
    </button>
  );
}

function follow(): void {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <Follow />
    </QueryClientProvider>,
  );
}

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
const polls = (calls: Call[]): Call[] => calls.filter((call) => call.url.pathname === `/api/v1/status/${ID}`);

beforeEach(() => {
  shown = [];
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('useJob', () => {
  it('asks at once, then waits for a change of what it has seen, until the job has ended', async () => {
    const states: JobStatus[] = [
      job({ updated_at: 'first' }),
      job({ updated_at: 'second' }),
      job({ updated_at: 'third', state: 'COMPLETED' }),
    ];
    const calls = serve((_, count) => json(states[count - 1] ?? states.at(-1)));
    follow();
    await pass(5000);
    expect(screen.getByText('COMPLETED')).toBeInTheDocument();
    expect(polls(calls).map((call) => Object.fromEntries(call.url.searchParams))).toEqual([
      {},
      { wait: '20', seen: 'first' },
      { wait: '20', seen: 'second' },
    ]);
  });

  it('survives a lost connection and finds the job as it is afterwards', async () => {
    serve((_, count) => {
      if (count === 1) return json(job({ updated_at: 'first' }));
      return count < 15 ? noNetwork() : json(job({ state: 'FAILED' }));
    });
    follow();
    await pass(200_000);
    expect(screen.getByText('FAILED')).toBeInTheDocument();
  });

  it('lets no poll that was under way undo a cancel', async () => {
    let isCancelled = false;
    serve((call) => {
      if (call.method === 'POST') {
        isCancelled = true;
        return json(job({ state: 'CANCELLED' }));
      }
      if (isCancelled) return json(job({ state: 'CANCELLED' }));
      if (!call.url.searchParams.has('wait')) return json(job());
      // the server holds this poll, then returns the state before the change
      return new Promise<Response>((resolve) =>
        setTimeout(() => {
          resolve(json(job()));
        }, 20_000),
      );
    });
    follow();
    await pass(1000);
    act(() => {
      screen.getByRole('button').click();
    });
    await pass(30_000);
    expect(shown).toEqual([undefined, 'RUNNING', 'CANCELLED']);
  });
});
