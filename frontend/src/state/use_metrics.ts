import { useQuery } from '@tanstack/react-query';
import { useMemo, useSyncExternalStore } from 'react';
import { request } from '../api/client';
import { MetricsHistory, type Snapshot, snapshot } from '../lib/metrics_history';

const SCRAPE_EVERY_MS = 5000;
const SNAPSHOTS = 720;
const histories = new Map<string, Observed>();

class Observed {
  readonly #history: MetricsHistory;
  readonly #listeners = new Set<() => void>();

  constructor(userId: string) {
    this.#history = new MetricsHistory(userId, SNAPSHOTS, window.sessionStorage);
  }

  readonly snapshots = (): readonly Snapshot[] => this.#history.snapshots;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  add(next: Snapshot): void {
    this.#history.add(next);
    for (const listener of this.#listeners) listener();
  }
}

/** Snapshots of the metrics of the last hour, one every 5 s while the page is open. */
export function useMetrics(userId: string) {
  const observed = useMemo(() => {
    const found = histories.get(userId) ?? new Observed(userId);
    // drops another user's figures
    if (!histories.has(userId)) histories.clear();
    histories.set(userId, found);
    return found;
  }, [userId]);
  const query = useQuery({
    queryKey: ['metrics', userId],
    queryFn: async ({ signal }) => {
      const response = await request('/api/v1/metrics', { signal, accept: 'text/plain' });
      const next = snapshot(await response.text(), Date.now());
      observed.add(next);
      return next.at;
    },
    refetchInterval: SCRAPE_EVERY_MS,
  });
  const history = useSyncExternalStore(observed.subscribe, observed.snapshots);
  return { history, query };
}
