import { QueryClientProvider } from '@tanstack/react-query';
import { render, screen, within } from '@testing-library/react';
import { MemoryRouter } from 'react-router';
import { describe, expect, it } from 'vitest';
import { createQueryClient } from '../state/query_client';
import { json, serve } from '../test/server';
import { SpendPanels } from './spend_panels';

const SUMS = { pictures: 3, settled_usd: 0.24, unknown_usd: 0, open_usd: 0.08 };

describe('SpendPanels', () => {
  it('sums by model and size, and names what earlier versions did not', async () => {
    serve(() =>
      json({
        price_usd: 0.08,
        today: { day: '2026-11-24', budget_usd: 20, committed_usd: 0.32, remaining_usd: 19.68 },
        unknown: [],
        days: [],
        users: [],
        models: [
          { provider: 'gemini', model: 'gemini-3-pro-image', size: '2K', ...SUMS },
          { provider: '', model: '', size: '1K', ...SUMS },
        ],
      }),
    );
    render(
      <QueryClientProvider client={createQueryClient()}>
        <MemoryRouter>
          <SpendPanels isOperator />
        </MemoryRouter>
      </QueryClientProvider>,
    );
    const table = within(await screen.findByRole('region', { name: 'Models and what was spent' }));
    expect(table.getAllByRole('rowheader').map((cell) => cell.textContent)).toEqual([
      'gemini-3-pro-image · 2K · gemini',
      'Earlier versions · 1K',
    ]);
    expect(table.getAllByRole('cell').map((cell) => cell.textContent)).toEqual([
      ...['3', '$0.24', '$0.08', '$0.00'],
      ...['3', '$0.24', '$0.08', '$0.00'],
    ]);
  });
});
