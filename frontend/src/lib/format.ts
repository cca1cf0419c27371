const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const DAY_CLOCK = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});

/** `12:04:31`, local time. */
export function clock(at: string | number | Date): string {
  return CLOCK.format(new Date(at));
}

/** `24 Nov, 12:04`, local time. */
export function dayAndClock(at: string | number | Date): string {
  return DAY_CLOCK.format(new Date(at));
}

/** `640 ms`, `4.2 s`, `1:05 min`, `2:03 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${String(Math.max(0, Math.round(ms)))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${String(Math.floor(seconds / 60))}:${two(seconds % 60)} min`;
  return `${String(Math.floor(seconds / 3600))}:${two(Math.floor((seconds % 3600) / 60))} h`;
}

/** `12 s`, `3 min`, `2 h`: for what nobody knows to the second. */
export function roughly(seconds: number): string {
  if (seconds < 90) return `${String(Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${String(minutes)} min` : `${String(Math.round(minutes / 60))} h`;
}

/** `4.2 s ago`, `2:03 h ago`, `3 days ago`. */
export function ago(ms: number): string {
  const days = Math.floor(ms / 86_400_000);
  return days < 2 ? `${duration(ms)} ago` : `${String(days)} days ago`;
}

/** `$0.08`; what is smaller than a cent keeps its digits. */
export function usd(amount: number): string {
  const digits = amount !== 0 && Math.abs(amount) < 0.01 ? 4 : 2;
  return `$${amount.toFixed(digits)}`;
}

/** `78.8 kB`, `2.4 MB` (powers of ten). */
export function bytes(size: number): string {
  if (size < 1000) return `${String(size)} B`;
  if (size < 1_000_000) return `${(size / 1000).toFixed(1)} kB`;
  return `${(size / 1_000_000).toFixed(1)} MB`;
}

/** `3 jobs`, `1 job`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${String(count)} ${count === 1 ? one : many}`;
}

export function shortId(id: string): string {
  return id.slice(0, 8);
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
