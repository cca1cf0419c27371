import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { createQueryClient } from '../state/query_client';
import { job } from '../test/jobs';
import { json, problem, serve } from '../test/server';
import { JobActions } from './job_actions';

const RUNNING = job({ state: 'RUNNING' });

function open() {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <JobActions job={RUNNING} />
    </QueryClientProvider>,
  );
}

describe('JobActions', () => {
  it('sends one request however often the button is pressed', async () => {
    let respond: (response: Response) => void = () => undefined;
    const calls = serve(
      () =>
        new Promise<Response>((resolve) => {
          respond = resolve;
        }),
    );
    open();
    const cancel = screen.getByRole('button', { name: 'Cancel' });
    await userEvent.click(cancel);
    expect(cancel).toBeDisabled();
    await userEvent.click(cancel);
    expect(calls.map((call) => `${call.method} ${call.url.pathname}`)).toEqual([
      `POST /api/v1/jobs/${RUNNING.job_id}/cancel`,
    ]);
    respond(json(RUNNING));
    await waitFor(() => {
      expect(cancel).toBeEnabled();
    });
  });

  it("shows the server's reason if the action did not work", async () => {
    serve(() => problem(409, 'job_not_retryable', 'The job has ended.'));
    open();
    await userEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(await screen.findByRole('alert')).toHaveTextContent('The job has ended.');
  });
});
