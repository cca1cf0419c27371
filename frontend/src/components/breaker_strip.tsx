import { clock } from '../lib/format';
import type { Snapshot } from '../lib/metrics_history';
import { DEPENDENCY_NAMES } from '../lib/names';
import { Badge } from './badge';

const STATES = [
  { word: 'Closed', tone: 'ok', colour: 'bg-ok' },
  { word: 'Half-open', tone: 'warn', colour: 'bg-warn' },
  { word: 'Open', tone: 'bad', colour: 'bg-bad' },
] as const;
const CELLS = 60;

/** The state of each circuit breaker in the last snapshots: green closed, amber half-open, red open. */
export function BreakerStrip({ history }: { history: readonly Snapshot[] }) {
  const shown = history.slice(-CELLS);
  const latest = shown.at(-1);
  const names = Object.keys(latest?.breakers ?? {}).sort();
  if (!latest || names.length === 0) return <p className="text-sm text-muted">No circuit breaker has been reported.</p>;
  return (
    <>
      <ul className="flex flex-col gap-4">
        {names.map((name) => {
          const now = STATES[latest.breakers[name] ?? 0] ?? STATES[0];
          return (
            <li key={name}>
              <div className="mb-1.5 flex items-center justify-between text-sm">
                <span className="font-medium">{DEPENDENCY_NAMES[name] ?? name}</span>
                <Badge tone={now.tone}>{now.word}</Badge>
              </div>
              <div aria-hidden className="flex h-5 gap-px overflow-hidden rounded-md bg-sunken">
                {shown.map((each) => (
                  <span
                    key={each.at}
                    title={`${clock(each.at)} ${STATES[each.breakers[name] ?? 0]?.word ?? ''}`}
                    className={`min-w-0 flex-1 ${STATES[each.breakers[name] ?? 0]?.colour ?? ''}`}
                  />
                ))}
              </div>
            </li>
          );
        })}
      </ul>
      <p className="mt-3 flex justify-between text-xs text-muted">
        <span>{clock(shown[0]?.at ?? latest.at)}</span>
        <span>{clock(latest.at)}</span>
      </p>
    </>
  );
}
