import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { MemoryRouter, useLocation } from 'react-router';
import { describe, expect, it } from 'vitest';
import { createQueryClient } from '../state/query_client';
import { job, stage } from '../test/jobs';
import { json, problem, serve } from '../test/server';
import JobsPage from './jobs';

const COFFEE = job({ job_id: 'a', filename: 'coffee.jpg', state: 'COMPLETED', prompt: 'On marble' });
const BOTTLE = job({
  job_id: 'b',
  filename: 'bottle.jpg',
  prompt: 'On oak',
  stages: [stage({ stage: 'rembg', state: 'RUNNING', queue_ahead: 6 })],
});

function Address() {
  return <p data-testid="address">{useLocation().search}</p>;
}

function open(address = '/jobs') {
  const calls = serve(({ url }) =>
    url.pathname === '/api/v1/jobs'
      ? json({ jobs: [COFFEE, BOTTLE], cursor: null })
      : problem(404, 'not_found', 'Not here.'),
  );
  render(
    <QueryClientProvider client={createQueryClient()}>
      <MemoryRouter initialEntries={[address]}>
        <JobsPage />
        <Address />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return calls;
}

const asked = (calls: ReturnType<typeof open>): (string | null)[] =>
  calls.filter((call) => call.url.pathname === '/api/v1/jobs').map((call) => call.url.searchParams.get('state'));

describe('the list of jobs', () => {
  it.each(['/jobs', '/jobs?view=list'])('says names, and how many jobs are ahead (%s)', async (address) => {
    open(address);
    const [coffee, bottle] = await screen.findAllByTestId('job-row');
    expect(coffee).toHaveTextContent('coffee.jpg');
    expect(coffee).toHaveTextContent('Done');
    expect(bottle).toHaveTextContent('Waiting at the GPU, 6 ahead');
    expect(within(bottle as HTMLElement).getByRole('progressbar')).toBeInTheDocument();
  });

  it('keeps filter, search and view in the address', async () => {
    const calls = open();
    await screen.findAllByTestId('job-row');
    await userEvent.click(screen.getByTestId('filter-FAILED'));
    await userEvent.type(screen.getByTestId('job-search'), 'oak');
    await userEvent.click(screen.getByTestId('view-toggle'));
    expect(screen.getByTestId('address')).toHaveTextContent('?state=FAILED&q=oak&view=list');
    await waitFor(() => {
      expect(asked(calls)).toContain('FAILED');
    });
    expect(screen.getAllByTestId('job-row').map((row) => row.dataset.jobId)).toEqual(['b']);
  });

  it('opens with what the address says', async () => {
    const calls = open('/jobs?state=COMPLETED&q=coffee');
    expect((await screen.findAllByTestId('job-row')).map((row) => row.dataset.jobId)).toEqual(['a']);
    expect(asked(calls)).toEqual(['COMPLETED']);
    expect(screen.getByTestId('filter-COMPLETED')).toHaveAttribute('aria-pressed', 'true');
  });

  it('is walked through by keys', async () => {
    open();
    await screen.findAllByTestId('job-row');
    const [coffee, bottle] = screen.getAllByRole('link', { name: /jpg/ });
    await userEvent.keyboard('{ArrowDown}');
    expect(coffee).toHaveFocus();
    await userEvent.keyboard('{ArrowRight}');
    expect(bottle).toHaveFocus();
    await userEvent.keyboard('?');
    expect(screen.getByRole('dialog', { name: 'Keys' })).toBeInTheDocument();
    await userEvent.click(screen.getByRole('button', { name: 'Close' }));
    expect(screen.queryByRole('dialog')).not.toBeInTheDocument();
    await userEvent.keyboard('/');
    expect(screen.getByTestId('job-search')).toHaveFocus();
    await userEvent.keyboard('o?');
    expect(screen.getByTestId('job-search')).toHaveValue('o?');
  });
});
