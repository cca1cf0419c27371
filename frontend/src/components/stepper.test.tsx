import { act, render, screen, within } from '@testing-library/react';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { StageState } from '../api/types';
import { STAGE_STATE_WORDS } from '../lib/names';
import { stage } from '../test/jobs';
import { Stepper } from './stepper';

afterEach(() => {
  vi.useRealTimers();
});

function step(change: Parameters<typeof stage>[0]) {
  render(<Stepper stages={[stage(change)]} />);
  return screen.getByTestId('step-realesrgan');
}

describe('Stepper', () => {
  it.each(Object.entries(STAGE_STATE_WORDS))('says in words that a stage is %s', (state, word) => {
    const element = step({ state: state as StageState });
    expect(element).toHaveAttribute('data-state', state);
    expect(element).toHaveTextContent('Upscale 4x (Real-ESRGAN)');
    expect(within(element).getByText(word)).toBeInTheDocument();
  });

  it('shows what a finished stage took, used and cost', () => {
    const element = step({
      state: 'SUCCEEDED',
      attempt: 2,
      duration_ms: 5801,
      vram_used_gb: 3.24,
      cost_usd: 0.08,
      cached: true,
    });
    for (const text of ['5.8 s', 'attempt 2', '3.2 GB VRAM', '$0.08', 'Cached'])
      expect(element).toHaveTextContent(text);
  });

  it('does not speak of VRAM where there is none', () => {
    expect(step({ state: 'SUCCEEDED', vram_used_gb: 0 })).not.toHaveTextContent('VRAM');
  });

  it('shows the tiles of an upscale under way as progress', () => {
    const element = step({ state: 'RUNNING', attempt: 1, tiles_done: 3, tiles_total: 12 });
    expect(element).toHaveTextContent('3 of 12 tiles');
    expect(within(element).getByRole('progressbar')).toHaveAttribute('aria-valuenow', '25');
    expect(element).toHaveAttribute('aria-current', 'step');
  });

  it('shows what a stage waits for', () => {
    expect(step({ state: 'RUNNING', queue_ahead: 3 })).toHaveTextContent('Waiting at the GPU, 3 ahead');
  });

  it('tells work and waiting apart', () => {
    const element = step({ state: 'SUCCEEDED', duration_ms: 5801, waited_ms: 61_000 });
    expect(element).toHaveTextContent('5.8 s');
    expect(element).toHaveTextContent('waited 1:01 min');
  });

  it('says how long an upscale under way will take', () => {
    const element = step({ state: 'RUNNING', tiles_done: 3, tiles_total: 12, expected_s: 41 });
    expect(element).toHaveTextContent('3 of 12 tiles, about 41.0 s left');
  });

  it('says why a stage was tried again', () => {
    expect(step({ state: 'RUNNING', attempt: 2, repeat_reason: 'It broke.' })).toHaveTextContent(
      'Tried again: It broke.',
    );
  });

  it('says that a replica has gone', () => {
    const element = step({ state: 'RUNNING', restarts: 1, repeat_reason: 'The replica is gone.' });
    expect(element).toHaveTextContent('Taken over: The replica is gone.');
  });

  it('shows why a stage failed', () => {
    const error = { code: 'no_subject_found', message: 'There is nothing in the foreground.', stage: null } as const;
    expect(step({ state: 'FAILED', error })).toHaveTextContent(error.message);
  });

  it('does not say again what the page has said', () => {
    const error = { code: 'no_subject_found', message: 'There is nothing in the foreground.', stage: null } as const;
    render(<Stepper stages={[stage({ state: 'FAILED', error })]} told={error.message} />);
    expect(screen.getByTestId('step-realesrgan')).not.toHaveTextContent(error.message);
  });

  it('counts the time of a running stage on', () => {
    vi.useFakeTimers({ now: new Date('2026-11-24T12:00:02Z') });
    const element = step({ state: 'RUNNING', started_at: '2026-11-24T12:00:00Z' });
    expect(element).toHaveTextContent('2.0 s');
    act(() => {
      vi.advanceTimersByTime(1500);
    });
    expect(element).toHaveTextContent('3.5 s');
  });
});
