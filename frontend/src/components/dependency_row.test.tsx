import { render, screen } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import type { DependencyHealth } from '../api/types';
import { DependencyRow } from './dependency_row';

function row(change: Partial<DependencyHealth>) {
  const health: DependencyHealth = { state: 'ok', reason: null, duration_ms: 1, reading: null, ...change };
  render(<DependencyRow name="gpu" health={health} />);
  return screen.getByRole('listitem');
}

function reading(age_s: number, change: object = {}): DependencyHealth['reading'] {
  const health = {
    state: 'READY' as const,
    stopping: false,
    version: '1',
    device: 'cuda',
    replica: 'r1',
    models: {},
    queue: { running: 0, limit: 16, expected_s: 0 },
    vram_used_gb: 3.24,
    vram_peak_gb: 5.2,
    ...change,
  };
  return { last_answered_at: '2026-11-24T14:02:00Z', age_s, health };
}

describe('DependencyRow', () => {
  it.each([
    ['ok', 'OK'],
    ['idle', 'Idle'],
    ['unknown', 'Unknown'],
    ['degraded', 'Degraded'],
    ['down', 'Down'],
  ] as const)('says in words that a dependency is %s', (state, word) => {
    const element = row({ state });
    expect(element).toHaveAttribute('data-state', state);
    // it is not asked, so it has no time of its own
    expect(element).toHaveTextContent(state === 'unknown' ? `GPU service${word}` : `GPU service1 ms${word}`);
    expect(screen.queryByTestId('gpu-reading')).toBeNull();
  });

  it.each([
    [3930, 'Last answered 1:05 h ago. It sleeps until a job needs it.'],
    [3 * 86_400, 'Last answered 3 days ago. It sleeps until a job needs it.'],
  ])('says once how old the reading of an idle GPU is, and what that means', (age, text) => {
    const element = row({ state: 'idle', reason: 'last answered 14:02 UTC', reading: reading(age) });
    expect(element).toHaveTextContent(`GPU service${text}Idle`);
  });

  it('shows the memory of a GPU that works', () => {
    const element = row({ state: 'ok', reason: 'last answered 14:02 UTC', reading: reading(12) });
    const text = 'Last answered 12.0 s ago on cuda: 3.2 GB VRAM in use, peak 5.2 GB.';
    expect(element).toHaveTextContent(`GPU service${text}OK`);
  });

  it('shows no memory of a processor', () => {
    const element = row({ state: 'ok', reading: reading(12, { device: 'cpu', vram_used_gb: 0, vram_peak_gb: 0 }) });
    expect(element).toHaveTextContent('Last answered 12.0 s ago on cpu.');
  });

  it('keeps the reason of a GPU that is not well', () => {
    const element = row({ state: 'degraded', reason: 'jobs wait', reading: reading(12) });
    expect(element).toHaveTextContent('jobs waitLast answered 12.0 s ago');
  });
});
