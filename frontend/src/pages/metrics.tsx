import { Bars } from '../components/bars';
import { BreakerStrip } from '../components/breaker_strip';
import type { Line } from '../components/chart';
import { ChartPanel, COLOURS } from '../components/chart_panel';
import { EmptyState, QueryError, Skeleton } from '../components/feedback';
import { LatencyPanel } from '../components/latency_panel';
import { PageHeading, Section } from '../components/page';
import { ago, duration, usd } from '../lib/format';
import { ratePerMinute, type Snapshot, sum } from '../lib/metrics_history';
import { humanize, STAGE_NAMES } from '../lib/names';
import { useMe } from '../state/session';
import { useMetrics } from '../state/use_metrics';

const RATE_WINDOW_MS = 60_000;

export default function MetricsPage() {
  const me = useMe().data;
  const { history, query } = useMetrics(me?.user_id ?? '');
  const latest = history.at(-1);
  const isOperator = me?.role !== 'user';
  return (
    <>
      <PageHeading title="Metrics">
        {isOperator
          ? 'Figures of all users, updated every 5 seconds while this page is open.'
          : 'Your own figures, updated every 5 seconds while this page is open. Operators see those of all users.'}
      </PageHeading>
      <QueryError query={query} className="mb-5" />
      {!latest && !query.isError && <Skeleton className="h-96 rounded-2xl!" />}
      {latest && <Panels history={history} latest={latest} isOperator={isOperator} />}
    </>
  );
}

function Panels({
  history,
  latest,
  isOperator,
}: {
  history: readonly Snapshot[];
  latest: Snapshot;
  isOperator: boolean;
}) {
  if (!isOperator && sum(latest.entered) === 0 && sum(latest.verdicts) === 0) {
    return <EmptyState title="Nothing has been measured yet">Figures appear after the first photo.</EmptyState>;
  }
  return (
    <>
      <Totals latest={latest} />
      <div className="mt-6 grid gap-6 lg:grid-cols-2">
        <LatencyPanel history={history} latest={latest} />
        <Throughput history={history} latest={latest} />
        <SpendPanel history={history} latest={latest} />
        <Verdicts history={history} latest={latest} />
        <OpenJobs latest={latest} />
        <CacheHits latest={latest} />
        {isOperator && <Vram history={history} latest={latest} />}
        {isOperator && (
          <Section title="Circuit breakers">
            <div data-testid="chart-breakers">
              <BreakerStrip history={history} />
            </div>
          </Section>
        )}
      </div>
      {!isOperator && <p className="mt-6 text-sm text-muted">Only operators see GPU memory and circuit breakers.</p>}
    </>
  );
}

function Totals({ latest }: { latest: Snapshot }) {
  const figures = [
    ['Completed', String(latest.entered.COMPLETED ?? 0)],
    ['Failed', String(latest.entered.FAILED ?? 0)],
    ['Rejected', String(latest.verdicts.rejected ?? 0)],
    ['Spent', usd(latest.spent ?? 0)],
    ['Not spent', usd(sum(latest.avoided))],
  ] as const;
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-2xl border border-line bg-line sm:grid-cols-5">
      {figures.map(([name, value]) => (
        <div key={name} className="bg-surface px-5 py-4 last:col-span-2 sm:last:col-span-1">
          <dt className="text-xs text-muted">{name}</dt>
          <dd className="mt-1 text-2xl font-semibold tracking-tight">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface PanelProps {
  history: readonly Snapshot[];
  latest: Snapshot;
}

function Throughput({ history, latest }: PanelProps) {
  const values = ratePerMinute(history, (each) => each.entered.COMPLETED ?? 0, RATE_WINDOW_MS);
  const now = values.at(-1);
  return (
    <ChartPanel
      title="Throughput"
      note={`Jobs completed in the last minute: ${now === null || now === undefined ? 'unknown yet' : now.toFixed(1)}; ${String(latest.entered.COMPLETED ?? 0)} in all.`}
      testId="chart-throughput"
      history={history}
      lines={[{ label: 'Completed per minute', colour: '--accent', values }]}
      format={(value) => value.toFixed(value < 10 ? 1 : 0)}
      height={310}
    />
  );
}

function SpendPanel({ history, latest }: PanelProps) {
  const lines: Line[] = [
    { label: 'Spent', colour: '--accent', values: history.map((each) => each.spent) },
    { label: 'Not spent', colour: '--ok', isDashed: true, values: history.map((each) => sum(each.avoided)) },
  ];
  return (
    <ChartPanel
      title="Spend, and spend avoided"
      note={`${usd(latest.spent ?? 0)} paid to Nano Banana; ${usd(sum(latest.avoided))} not paid (dashed).`}
      testId="chart-spend"
      history={history}
      lines={lines}
      format={usd}
    >
      <Bars values={latest.avoided} format={usd} label="Not paid, by reason" colour="bg-ok" />
    </ChartPanel>
  );
}

function Verdicts({ history, latest }: PanelProps) {
  const names = Object.keys(latest.verdicts).sort();
  const lines: Line[] = names.map((name) => ({
    label: humanize(name),
    colour: isRejection(name) ? '--bad' : '--ok',
    isDashed: isRejection(name),
    values: history.map((each) => each.verdicts[name] ?? 0),
  }));
  return (
    <ChartPanel
      title="Guardrail verdicts"
      note={names.map((name) => `${String(latest.verdicts[name] ?? 0)} ${humanize(name).toLowerCase()}`).join(', ')}
      testId="chart-verdicts"
      history={history}
      lines={lines}
      format={(value) => (Number.isInteger(value) ? String(value) : '')}
      height={250}
    />
  );
}

function Vram({ history, latest }: PanelProps) {
  const replicas = Object.keys(latest.vram).sort();
  const lines: Line[] = replicas.map((replica, index) => ({
    label: replica,
    colour: COLOURS[index % COLOURS.length] ?? '--accent',
    values: history.map((each) => each.vram[replica] ?? null),
  }));
  const readings = replicas.map((replica) => `${replica} ${(latest.vram[replica] ?? 0).toFixed(1)} GB`).join(', ');
  return (
    <ChartPanel
      title="GPU memory"
      note={gpuNote(readings, latest.gpuAge)}
      testId="chart-vram"
      history={history}
      lines={lines}
      format={(value) => `${value.toFixed(1)} GB`}
    />
  );
}

function gpuNote(readings: string, ageS: number | null): string {
  if (typeof ageS !== 'number') return 'The GPU service has not been needed yet.';
  return `${readings}, as of its last answer ${ago(ageS * 1000)}. It is not asked while there is no work.`;
}

function OpenJobs({ latest }: { latest: Snapshot }) {
  const oldest = Math.max(0, ...Object.values(latest.oldest));
  return (
    <Section title="Open jobs" aside={<span className="text-xs text-muted">{sum(latest.open)} in all</span>}>
      {sum(latest.open) === 0 ? (
        <p className="text-sm text-muted">None. Every job has ended.</p>
      ) : (
        <>
          <Bars
            values={lowerCased(latest.open)}
            format={(value) => String(value)}
            label="Open jobs by state"
            colour="bg-accent"
          />
          {oldest > 0 && (
            <p className="mt-3 text-xs text-muted">The oldest has been open for {duration(oldest * 1000)}.</p>
          )}
        </>
      )}
    </Section>
  );
}

function CacheHits({ latest }: { latest: Snapshot }) {
  const named = Object.fromEntries(
    Object.entries(latest.cacheHits).map(([stage, hits]) => [
      STAGE_NAMES[stage as keyof typeof STAGE_NAMES] || stage,
      hits,
    ]),
  );
  return (
    <Section title="Cache hits" aside={<span className="text-xs text-muted">{sum(named)} in all</span>}>
      {sum(named) === 0 ? (
        <p className="text-sm text-muted">No result of an earlier job has been reused yet.</p>
      ) : (
        <Bars values={named} format={(value) => String(value)} label="Cache hits by stage" colour="bg-accent" />
      )}
    </Section>
  );
}

function lowerCased(values: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value]));
}

function isRejection(verdict: string): boolean {
  return verdict === 'rejected';
}
