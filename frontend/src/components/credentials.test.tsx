import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Credentials, DeliveredCredentials } from '../api/types';
import { createQueryClient } from '../state/query_client';
import { credentials, ingredient, manifest } from '../test/credentials';
import { json, problem, serve } from '../test/server';
import { JobCredentials } from './credentials';

function open(known: DeliveredCredentials | null = null) {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <JobCredentials jobId="j1" known={known} />
    </QueryClientProvider>,
  );
  return screen.findByTestId('credentials');
}

describe('JobCredentials', () => {
  it.each<[string, Partial<Credentials>, string]>([
    ['trusted', {}, 'Signed by Example Studio pictures, and not changed since.'],
    ['valid', { manifest: manifest({ state: 'valid' }) }, 'who is not on the trust list here'],
    ['valid', { manifest: manifest() }, 'somebody in the chain is not on the trust list here'],
    ['broken', { manifest: manifest({ state: 'broken' }) }, 'The file was changed after it was signed'],
    ['broken', { manifest: manifest() }, 'A picture that it was made from was changed'],
    ['none', { manifest: null, ingredients: [], says_ai: false }, 'The file says nothing of where it comes from'],
  ])('says in one sentence what %s means', async (state, change, sentence) => {
    serve(() => json(credentials({ state: state as Credentials['state'], ...change })));
    const shown = await open();
    expect(shown).toHaveAttribute('data-state', state);
    expect(shown).toHaveTextContent(`Content Credentials: ${state.charAt(0).toUpperCase()}${state.slice(1)}`);
    expect(shown).toHaveTextContent(sentence);
  });

  it('shows at once what the status knows, and goes on with what the file says', async () => {
    serve(() => json(credentials({ state: 'broken' })));
    const shown = open('broken');
    expect(screen.getByText('Broken')).toBeInTheDocument();
    expect(screen.queryByTestId('credentials')).not.toBeInTheDocument();
    expect(await shown).toHaveAttribute('data-state', 'broken');
    expect(screen.getAllByText('Broken')[0]).toBeInTheDocument();
  });

  it('calls a picture without credentials not signed', async () => {
    const calls = serve(() => problem(404, 'not_found', 'No credentials.'));
    const shown = await open();
    expect(shown).toHaveTextContent('This picture is not signed.');
    expect(screen.queryByText('Details')).not.toBeInTheDocument();
    expect(calls.map((call) => call.url.pathname)).toEqual(['/api/v1/jobs/j1/provenance']);
  });

  it('opens the chain: who signed, what was done, and what it was made from', async () => {
    const photo = ingredient({
      relationship: 'parentOf',
      title: 'answer',
      state: 'valid',
      reasons: ['signingCredential.untrusted'],
      manifest: manifest({ state: 'valid', signer: 'A provider', issuer: null, actions: [] }),
    });
    serve(() => json(credentials({ state: 'valid', ingredients: [photo, ingredient({ depth: 2 })], is_cut: true })));
    const shown = await open();
    expect(shown).not.toHaveAttribute('open');
    await userEvent.click(within(shown).getByText('Details'));
    expect(shown).toHaveAttribute('open');
    const [own, parent, part] = within(screen.getByRole('list', { name: 'Chain of statements' }))
      .getAllByRole('listitem')
      .filter((item) => item.querySelector('p'));
    expect(own).toHaveTextContent('Example Studio pictures (Example Studio)');
    expect(own).toHaveTextContent('Color adjustments by realesrgan 4x, enhanced by a program');
    expect(parent).toHaveTextContent('Made from: the answer of the image model');
    expect(parent).toHaveTextContent('signingCredential.untrusted');
    expect(part).toHaveTextContent('Contains: the photo');
    expect(part).toHaveTextContent('Not signed.');
    expect(shown).toHaveTextContent('There is more than is listed.');
  });

  it('offers another try where the answer did not come', async () => {
    serve(() => problem(403, 'forbidden', 'Not yours.'));
    render(
      <QueryClientProvider client={createQueryClient()}>
        <JobCredentials jobId="j1" known={null} />
      </QueryClientProvider>,
    );
    expect(await screen.findByRole('alert')).toHaveTextContent('Not yours.');
    expect(screen.queryByTestId('credentials')).not.toBeInTheDocument();
  });
});
