import type { ReactNode } from 'react';
import type { JobState } from '../api/types';
import { JOB_STATE_WORDS, JOB_TONES, type Tone } from '../lib/names';

const TONES: Record<Tone, string> = {
  neutral: 'bg-sunken text-muted',
  accent: 'bg-accent-soft text-accent',
  ok: 'bg-ok-soft text-ok',
  warn: 'bg-warn-soft text-warn',
  bad: 'bg-bad-soft text-bad',
};

export function Badge({ tone = 'neutral', children }: { tone?: Tone; children: ReactNode }) {
  return (
    <span className={`inline-flex items-center gap-1.5 rounded-full px-2.5 py-0.5 text-xs font-medium ${TONES[tone]}`}>
      {children}
    </span>
  );
}

export function JobStateBadge({ state, testId }: { state: JobState; testId?: string }) {
  return (
    <span
      data-testid={testId}
      data-state={state}
      className={`inline-flex items-center rounded-full px-2.5 py-0.5 text-xs font-semibold ${TONES[JOB_TONES[state]]}`}
    >
      {JOB_STATE_WORDS[state]}
    </span>
  );
}
