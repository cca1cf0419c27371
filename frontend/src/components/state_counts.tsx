import type { JobState } from '../api/types';
import { JOB_STATES, JOB_TONES } from '../lib/names';

const COLOURS = { neutral: 'bg-line-strong', accent: 'bg-accent', ok: 'bg-ok', warn: 'bg-warn', bad: 'bg-bad' };

/** The number of jobs in each state, as a bar and in words. */
export function StateCounts({ states, items }: { states: Partial<Record<JobState, number>>; items: number }) {
  const found = JOB_STATES.filter((state) => (states[state] ?? 0) > 0);
  return (
    <div className="min-w-0">
      <div aria-hidden className="flex h-1.5 gap-px overflow-hidden rounded-full bg-sunken">
        {found.map((state) => (
          <div
            key={state}
            className={COLOURS[JOB_TONES[state]]}
            style={{ width: `${String((100 * (states[state] ?? 0)) / Math.max(items, 1))}%` }}
          />
        ))}
      </div>
      <ul className="mt-1.5 flex flex-wrap gap-x-3 text-xs text-muted">
        {found.map((state) => (
          <li key={state}>
            <span className="font-semibold text-ink">{states[state]}</span> {state.toLowerCase()}
          </li>
        ))}
      </ul>
    </div>
  );
}
