import { render, screen } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import type { DependencyHealth } from '../api/types';
import { DependencyRow } from './dependency_row';

function row(change: Partial<DependencyHealth>) {
  const health: DependencyHealth = { state: 'ok', reason: null, duration_ms: 1, reading: null, ...change };
  render(<DependencyRow name="gpu" health={health} />);
  return screen.getByRole('listitem');
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
    expect(element).toHaveTextContent(`GPU service1 ms${word}`);
    expect(screen.queryByTestId('gpu-reading')).toBeNull();
  });

  it('shows how old the reading of an idle GPU is', () => {
    const element = row({
      state: 'idle',
      reason: 'last answered 14:02 UTC',
      reading: {
        last_answered_at: '2026-11-24T14:02:00Z',
        age_s: 3930,
        health: {
          state: 'READY',
          stopping: false,
          version: '1',
          device: 'cuda',
          replica: 'r1',
          models: {},
          queue: { running: 0, limit: 16 },
          vram_used_gb: 3.24,
          vram_peak_gb: 5.2,
        },
      },
    });
    expect(element).toHaveTextContent('last answered 14:02 UTC');
    expect(screen.getByTestId('gpu-reading')).toHaveTextContent('1:05 h ago: cuda, 3.2 GB VRAM in use, peak 5.2 GB');
  });
});
