import { Check as CheckIcon, Minus, X } from 'lucide-react';
import type { MeasuredCheck } from '../api/types';
import { humanize } from '../lib/names';

const WORDS = { pass: 'passed', fail: 'failed', skipped: 'not measured' };

/** What each check measured, and its limit. */
export function CheckList({ checks, isWide = false }: { checks: readonly MeasuredCheck[]; isWide?: boolean }) {
  return (
    <ul className={`text-sm ${isWide ? 'gap-x-8 md:columns-2' : ''}`}>
      {checks.map((check) => {
        const outcome = check.passed === null ? 'skipped' : check.passed ? 'pass' : 'fail';
        return (
          <li
            key={check.name}
            data-testid="check-row"
            data-outcome={outcome}
            className="grid break-inside-avoid grid-cols-[1.25rem_1fr] items-start gap-x-2.5 border-b border-line py-2.5 last:border-b-0"
          >
            <Mark outcome={outcome} />
            <div className="min-w-0">
              <div className="flex flex-wrap items-baseline justify-between gap-x-4">
                <span className="font-medium">
                  {humanize(check.name)}
                  <span className="sr-only">: {WORDS[outcome]}</span>
                </span>
                {outcome === 'skipped' ? (
                  <span className="text-xs text-muted">not measured</span>
                ) : (
                  <span className="text-xs break-words">
                    <span className={outcome === 'fail' ? 'font-semibold text-bad' : 'font-medium'}>
                      {check.measured}
                    </span>
                    {check.limit && <span className="text-muted"> · limit {check.limit}</span>}
                  </span>
                )}
              </div>
              {outcome !== 'pass' && check.message && (
                <p className={`mt-0.5 text-xs ${outcome === 'fail' ? 'text-bad' : 'text-muted'}`}>{check.message}</p>
              )}
            </div>
          </li>
        );
      })}
    </ul>
  );
}

function Mark({ outcome }: { outcome: keyof typeof WORDS }) {
  const size = 'mt-0.5 size-4';
  if (outcome === 'pass') return <CheckIcon aria-hidden className={`${size} text-ok`} />;
  if (outcome === 'fail') return <X aria-hidden className={`${size} text-bad`} />;
  return <Minus aria-hidden className={`${size} text-muted`} />;
}
