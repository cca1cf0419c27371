/** The part of the Prometheus text format that the dashboard needs. */

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"/g;

/** The samples of an exposition; skips lines that hold none. */
export function parseExposition(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = LINE.exec(line);
    const name = match?.[1];
    const value = toNumber(match?.[3] ?? '');
    if (name === undefined || value === null) continue;
    samples.push({ name, labels: parseLabels(match?.[2] ?? ''), value });
  }
  return samples;
}

/** Values of one metric by one of its labels, summed over the others. */
export function byLabel(samples: readonly Sample[], name: string, label: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const sample of samples) {
    if (sample.name !== name) continue;
    const key = sample.labels[label] ?? '';
    found[key] = (found[key] ?? 0) + sample.value;
  }
  return found;
}

export function total(samples: readonly Sample[], name: string): number | null {
  const found = samples.filter((sample) => sample.name === name);
  return found.length === 0 ? null : found.reduce((sum, sample) => sum + sample.value, 0);
}

/** Cumulative counts by upper bound, ascending, the last one +Inf. */
export type Buckets = [bound: number, count: number][];

/** The buckets of a histogram by one of its labels. */
export function histogram(samples: readonly Sample[], name: string, label: string): Record<string, Buckets> {
  const found: Record<string, Buckets> = {};
  for (const sample of samples) {
    if (sample.name !== `${name}_bucket`) continue;
    const bound = toNumber(sample.labels.le ?? '');
    if (bound === null) continue;
    (found[sample.labels[label] ?? ''] ??= []).push([bound, sample.value]);
  }
  for (const buckets of Object.values(found)) buckets.sort((a, b) => a[0] - b[0]);
  return found;
}

/** `now - before` bucket by bucket; after a reset, the counts since zero. */
export function since(now: Buckets, before: Buckets | undefined): Buckets {
  if (!before || before.length !== now.length) return now;
  const isReset = now.some(([, count], index) => count < (before[index]?.[1] ?? 0));
  if (isReset) return now;
  return now.map(([bound, count], index) => [bound, count - (before[index]?.[1] ?? 0)]);
}

/**
 * The quantile `q` of a histogram as PromQL's histogram_quantile has it: linear within its bucket, the
 * highest finite bound for what lies above. Null without observations.
 */
export function quantile(q: number, buckets: Buckets): number | null {
  const last = buckets.at(-1);
  if (!last || last[0] !== Infinity || last[1] <= 0) return null;
  const rank = q * last[1];
  const index = buckets.findIndex(([, count]) => count >= rank);
  const bucket = buckets[index] ?? last;
  const below = buckets[index - 1];
  if (bucket[0] === Infinity) return below?.[0] ?? null;
  const lower = below?.[0] ?? 0;
  const belowCount = below?.[1] ?? 0;
  const within = bucket[1] - belowCount;
  if (within <= 0) return bucket[0];
  return lower + (bucket[0] - lower) * ((rank - belowCount) / within);
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    if (name !== undefined) labels[name] = unescape(value ?? '');
  }
  return labels;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
}

function toNumber(text: string): number | null {
  if (text === '+Inf' || text === 'Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  const value = text === '' ? NaN : Number(text);
  return Number.isNaN(value) ? null : value;
}
