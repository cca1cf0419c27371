import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { MemoryRouter } from 'react-router';
import { describe, expect, it } from 'vitest';
import type { CallerInfo } from './api/types';
import { Root } from './root';
import { createQueryClient } from './state/query_client';
import { json, problem, serve } from './test/server';

const ANN: CallerInfo = {
  user_id: 'u1',
  name: 'ann',
  role: 'user',
  usage: {
    jobs_per_minute: 60,
    jobs_last_minute: 0,
    concurrent_jobs: 5,
    open_jobs: 0,
    usd_per_day: 20,
    usd_today: 0.16,
  },
};

/** A server with one good key and a session. */
function server() {
  let isSignedIn = false;
  return serve(({ method, url, body }) => {
    if (url.pathname === '/api/v1/session') {
      if (method === 'DELETE') {
        isSignedIn = false;
        return new Response(null, { status: 204 });
      }
      isSignedIn = (body as { key: string }).key === 'igp_good';
      return isSignedIn ? json(ANN) : problem(401, 'invalid_api_key', 'The API key is not valid.');
    }
    if (!isSignedIn) return problem(401, 'missing_api_key', 'No key.');
    if (url.pathname === '/api/v1/me') return json(ANN);
    return problem(404, 'not_found', 'Not here.');
  });
}

function open(fragmentKey: string | null = null): void {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <MemoryRouter>
        <Root fragmentKey={fragmentKey} />
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

describe('signing in', () => {
  it('asks for a key, says what is wrong with a bad one, and opens with a good one', async () => {
    server();
    open();
    const user = userEvent.setup();
    await user.type(await screen.findByTestId('api-key'), 'igp_bad');
    await user.click(screen.getByTestId('sign-in'));
    expect(await screen.findByRole('alert')).toHaveTextContent('The API key is not valid.');
    await user.clear(screen.getByTestId('api-key'));
    await user.type(screen.getByTestId('api-key'), 'igp_good');
    await user.click(screen.getByTestId('sign-in'));
    expect(await screen.findByRole('heading', { name: 'New job' })).toBeInTheDocument();
    expect(screen.getByTestId('account')).toHaveTextContent('ann');
    expect(screen.getByText('$0.16')).toBeInTheDocument();
  });

  it('opens at once with the key of a link', async () => {
    const calls = server();
    open('igp_good');
    expect(await screen.findByTestId('dropzone')).toBeInTheDocument();
    expect(calls).toContainEqual(expect.objectContaining({ method: 'POST', body: { key: 'igp_good' } }));
    expect(screen.queryByTestId('sign-in-form')).not.toBeInTheDocument();
  });

  it('shows the form with the reason when the key of a link is no good', async () => {
    server();
    open('igp_old');
    expect(await screen.findByTestId('sign-in-form')).toHaveTextContent('The API key is not valid.');
  });

  it.each([
    ['stay', 0],
    ['change-user', 1],
  ])('asks before a link changes who is signed in (%s)', async (choice, changes) => {
    const calls = server();
    open('igp_good');
    await screen.findByTestId('dropzone');
    const before = calls.filter((call) => call.method === 'POST').length;
    window.location.hash = '#key=igp_good';
    await userEvent.click(await screen.findByTestId(choice));
    expect(await screen.findByTestId('dropzone')).toBeInTheDocument();
    expect(calls.filter((call) => call.method === 'POST').length - before).toBe(changes);
  });

  it('ends with signing out', async () => {
    server();
    open('igp_good');
    await userEvent.click(await screen.findByTestId('sign-out'));
    await waitFor(() => {
      expect(screen.getByTestId('sign-in-form')).toBeInTheDocument();
    });
    expect(screen.queryByTestId('dropzone')).not.toBeInTheDocument();
  });
});
