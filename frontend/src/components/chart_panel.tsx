import { type ReactNode, Suspense } from 'react';
import { loadPart } from '../lib/load_part';
import type { Snapshot } from '../lib/metrics_history';
import type { Line } from './chart';
import { Skeleton } from './feedback';
import { Section } from './page';

const Chart = loadPart(async () => ({ default: (await import('../components/chart')).Chart }));

/** Colours of the theme for lines in one chart. */
export const COLOURS = ['--accent', '--ok', '--warn', '--bad'];

interface ChartPanelProps {
  title: string;
  note: string;
  testId: string;
  history: readonly Snapshot[];
  lines: readonly Line[];
  format: (value: number) => string;
  height?: number;
  children?: ReactNode;
}

/** A chart of the snapshots, with a note that says the same in words. */
export function ChartPanel({ title, note, testId, history, lines, format, height = 180, children }: ChartPanelProps) {
  const times = history.map((each) => each.at / 1000);
  const isEmpty = lines.every((line) => line.values.every((value) => value === null));
  return (
    <Section title={title}>
      <p className="-mt-2 mb-3 text-xs text-muted">{note}</p>
      <div data-testid={testId} data-points={times.length} className="relative">
        <Suspense fallback={<Skeleton className="h-45" />}>
          <Chart times={times} lines={lines} format={format} height={height} summary={`${title}. ${note}`} />
        </Suspense>
        {isEmpty && (
          <p className="absolute inset-x-0 top-1/3 text-center text-xs text-muted">
            <span className="rounded-full bg-surface px-3 py-1">
              Nothing happened in this time. The line grows while this page is open.
            </span>
          </p>
        )}
      </div>
      {children}
    </Section>
  );
}
