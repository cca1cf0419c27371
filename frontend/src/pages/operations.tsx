import { useHealth } from '../api/queries';
import type { HealthReport } from '../api/types';
import { Badge } from '../components/badge';
import { Circuits } from '../components/circuits';
import { QueryError, Rows } from '../components/feedback';
import { PageHeading, Section } from '../components/page';
import { SpendPanels } from '../components/spend_panels';
import { duration } from '../lib/format';
import { DEPENDENCY_NAMES, humanize, type Tone } from '../lib/names';
import { useRole } from '../state/session';

const HEALTH_TONES: Record<HealthReport['status'], Tone> = { ok: 'ok', degraded: 'warn', down: 'bad' };
const HEALTH_WORDS: Record<HealthReport['status'], string> = { ok: 'OK', degraded: 'Degraded', down: 'Down' };
export default function OperationsPage() {
  const { isOperator } = useRole();
  return (
    <>
      <PageHeading title="Operations">
        {isOperator
          ? 'What works, what waits and what it costs.'
          : 'What works and what waits. You see your own spend. Operators can open and close circuits and settle payments.'}
      </PageHeading>
      <div className="grid items-start gap-6 lg:grid-cols-2">
        <HealthPanel />
        <Circuits isOperator={isOperator} />
        <SpendPanels isOperator={isOperator} />
      </div>
    </>
  );
}

function HealthPanel() {
  const health = useHealth();
  const { data } = health;
  return (
    <Section title="Health" aside={data && <Badge tone={HEALTH_TONES[data.status]}>{HEALTH_WORDS[data.status]}</Badge>}>
      <QueryError query={health} />
      {health.isPending && <Rows />}
      {data && (
        <ul className="divide-y divide-line text-sm" data-testid="health">
          {Object.entries(data.dependencies).map(([name, dependency]) => (
            <li
              key={name}
              data-dependency={name}
              data-state={dependency.state}
              className="flex items-start justify-between gap-4 py-2.5"
            >
              <div className="min-w-0">
                <p className="font-medium">{DEPENDENCY_NAMES[name] ?? humanize(name)}</p>
                {dependency.reason && <p className="text-xs break-words text-muted">{dependency.reason}</p>}
              </div>
              <div className="flex shrink-0 items-center gap-2">
                {typeof dependency.duration_ms === 'number' && (
                  <span className="text-xs text-muted">{duration(dependency.duration_ms)}</span>
                )}
                <Badge tone={HEALTH_TONES[dependency.state]}>{HEALTH_WORDS[dependency.state]}</Badge>
              </div>
            </li>
          ))}
        </ul>
      )}
      {data && <p className="mt-3 text-xs text-muted">Version {data.version}</p>}
    </Section>
  );
}
