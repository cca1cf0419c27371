import { byLabel, type Buckets, histogram, parseExposition, quantile, since, total } from './prometheus';

/** The figures of one scrape, small enough to keep many of them. Times in ms since the epoch. */
export interface Snapshot {
  at: number;
  latency: Record<string, Buckets>;
  entered: Record<string, number>;
  open: Record<string, number>;
  oldest: Record<string, number>;
  verdicts: Record<string, number>;
  spent: number | null;
  avoided: Record<string, number>;
  vram: Record<string, number>;
  /** Seconds since the GPU service last answered; null before its first answer. */
  gpuAge: number | null;
  breakers: Record<string, number>;
  cacheHits: Record<string, number>;
}

export function snapshot(text: string, at: number): Snapshot {
  const samples = parseExposition(text);
  return {
    at,
    latency: histogram(samples, 'pipeline_latency_seconds', 'stage'),
    entered: byLabel(samples, 'imagery_jobs_total', 'status'),
    open: byLabel(samples, 'imagery_jobs_open', 'status'),
    oldest: byLabel(samples, 'imagery_oldest_open_job_age_seconds', 'status'),
    verdicts: byLabel(samples, 'guardrail_validations_total', 'verdict'),
    spent: total(samples, 'nano_banana_spend_usd_total'),
    avoided: byLabel(samples, 'nano_banana_spend_avoided_usd_total', 'reason'),
    vram: byLabel(samples, 'gpu_vram_usage_gauge', 'replica'),
    gpuAge: total(samples, 'gpu_last_answer_age_seconds'),
    breakers: byLabel(samples, 'circuit_breaker_state', 'dependency'),
    cacheHits: byLabel(samples, 'stage_cache_hits_total', 'stage'),
  };
}

export function sum(values: Record<string, number>): number {
  return Object.values(values).reduce((all, value) => all + value, 0);
}

/** The newest snapshot that is at least `windowMs` older than number `index`, else the oldest one. */
function before(history: readonly Snapshot[], index: number, windowMs: number): Snapshot | undefined {
  const until = (history[index]?.at ?? 0) - windowMs;
  let found = history[0];
  for (const each of history.slice(0, index)) {
    if (each.at > until) break;
    found = each;
  }
  return found;
}

/** Quantile of a stage's duration over `windowMs` before each snapshot, seconds; null where none ended. */
export function latencySeries(
  history: readonly Snapshot[],
  stage: string,
  q: number,
  windowMs: number,
): (number | null)[] {
  return history.map((each, index) => {
    const now = each.latency[stage];
    // the first snapshot has nothing to compare with
    if (!now || index === 0) return null;
    return quantile(q, since(now, before(history, index, windowMs)?.latency[stage]));
  });
}

/** Growth of a counter per minute over `windowMs` before each snapshot; null before there are two snapshots. */
export function ratePerMinute(
  history: readonly Snapshot[],
  read: (each: Snapshot) => number,
  windowMs: number,
): (number | null)[] {
  return history.map((each, index) => {
    const then = before(history, index, windowMs);
    if (!then || index === 0 || each.at <= then.at) return null;
    const growth = read(each) - read(then);
    // a smaller value: the counter was reset
    return (Math.max(growth < 0 ? read(each) : growth, 0) * 60_000) / (each.at - then.at);
  });
}

const INFINITE = 'inf';

/** The last `limit` snapshots of this tab; they survive a reload if the browser allows storage. */
export class MetricsHistory {
  #snapshots: readonly Snapshot[];
  readonly #key: string;
  readonly #limit: number;
  readonly #storage: Storage | null;

  constructor(userId: string, limit: number, storage: Storage | null) {
    this.#key = `metrics:${userId}`;
    this.#limit = limit;
    this.#storage = storage;
    this.#snapshots = this.#load();
  }

  get snapshots(): readonly Snapshot[] {
    return this.#snapshots;
  }

  add(next: Snapshot): void {
    this.#snapshots = [...this.#snapshots, next].slice(-this.#limit);
    try {
      this.#storage?.setItem(
        this.#key,
        JSON.stringify(this.#snapshots, (_, value: unknown) => (value === Infinity ? INFINITE : value)),
      );
    } catch {
      // full or disabled: the history lasts as long as the page
    }
  }

  #load(): readonly Snapshot[] {
    try {
      const text = this.#storage?.getItem(this.#key);
      const found: unknown = text
        ? JSON.parse(text, (_, value: unknown) => (value === INFINITE ? Infinity : value))
        : [];
      return Array.isArray(found) ? (found as Snapshot[]).slice(-this.#limit) : [];
    } catch {
      return [];
    }
  }
}
