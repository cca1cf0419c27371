import { STAGE_NAMES, STAGES } from '../lib/names';
import { latencySeries, type Snapshot } from '../lib/metrics_history';
import { type Buckets, quantile } from '../lib/prometheus';
import type { Line } from './chart';
import { ChartPanel, COLOURS } from './chart_panel';

const WINDOW_MS = 5 * 60_000;

/** How long each stage takes: lines over time, and a table of all time. */
export function LatencyPanel({ history, latest }: { history: readonly Snapshot[]; latest: Snapshot }) {
  const stages = STAGES.filter((stage) => latest.latency[stage]);
  const lines: Line[] = stages.flatMap((stage) => {
    const colour = COLOURS[STAGES.indexOf(stage)] ?? '--accent';
    return [
      { label: `${STAGE_NAMES[stage]} p95`, colour, values: latencySeries(history, stage, 0.95, WINDOW_MS) },
      {
        label: `${STAGE_NAMES[stage]} p50`,
        colour,
        isDashed: true,
        values: latencySeries(history, stage, 0.5, WINDOW_MS),
      },
    ];
  });
  return (
    <ChartPanel
      title="Latency by stage"
      note="The last 5 minutes: p95 solid, p50 dashed. The table covers all time."
      testId="chart-latency"
      history={history}
      lines={lines}
      format={seconds}
    >
      <table className="mt-4 w-full text-sm">
        <thead className="text-left text-xs text-muted">
          <tr>
            <th className="pb-1 font-medium">Stage</th>
            <th className="pb-1 pl-3 text-right font-medium">Runs</th>
            <th className="pb-1 pl-3 text-right font-medium">p50</th>
            <th className="pb-1 pl-3 text-right font-medium">p95</th>
          </tr>
        </thead>
        <tbody>
          {stages.map((stage) => (
            <LatencyRow
              key={stage}
              name={STAGE_NAMES[stage]}
              colour={COLOURS[STAGES.indexOf(stage)] ?? ''}
              buckets={latest.latency[stage] ?? []}
            />
          ))}
        </tbody>
      </table>
    </ChartPanel>
  );
}

function LatencyRow({ name, colour, buckets }: { name: string; colour: string; buckets: Buckets }) {
  const [p50, p95] = [quantile(0.5, buckets), quantile(0.95, buckets)];
  return (
    <tr className="border-t border-line">
      <th scope="row" className="py-1.5 text-left font-normal">
        <Swatch colour={colour} /> {name}
      </th>
      <td className="pl-3 text-right whitespace-nowrap">{buckets.at(-1)?.[1] ?? 0}</td>
      <td className="pl-3 text-right whitespace-nowrap">{p50 === null ? 'none' : seconds(p50)}</td>
      <td className="pl-3 text-right whitespace-nowrap">{p95 === null ? 'none' : seconds(p95)}</td>
    </tr>
  );
}

function Swatch({ colour }: { colour: string }) {
  return (
    <span aria-hidden className="mr-1.5 inline-block size-2.5 rounded-full" style={{ background: `var(${colour})` }} />
  );
}

function seconds(value: number): string {
  return value < 1 ? `${String(Math.round(value * 1000))} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}
