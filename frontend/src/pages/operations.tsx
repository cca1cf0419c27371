import { useHealth } from '../api/queries';
import { Badge } from '../components/badge';
import { Circuits } from '../components/circuits';
import { DependencyRow } from '../components/dependency_row';
import { QueryError, Rows } from '../components/feedback';
import { PageHeading, Section } from '../components/page';
import { SpendPanels } from '../components/spend_panels';
import { HEALTH_TONES, HEALTH_WORDS } from '../lib/names';
import { useRole } from '../state/session';

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
            <DependencyRow key={name} name={name} health={dependency} />
          ))}
        </ul>
      )}
      {data && <p className="mt-3 text-xs text-muted">Version {data.version}</p>}
    </Section>
  );
}
