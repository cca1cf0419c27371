import type { LogLine } from '../api/types';

/** The last `limit` lines in the order of their ids, each once, and how many older ones were dropped. */
export class LogBuffer {
  #lines: LogLine[] = [];
  readonly #ids = new Set<number>();
  readonly #limit: number;
  #dropped = 0;
  #newest = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** The greatest id seen: a new connection continues after it. */
  get newest(): number {
    return this.#newest;
  }

  /** Add lines; skips those that are held already or were dropped. True if any is new. */
  add(lines: readonly LogLine[]): boolean {
    const oldest = this.#dropped > 0 ? (this.#lines[0]?.id ?? 0) : -Infinity;
    const fresh = lines.filter((line) => line.id >= oldest && this.#remember(line.id));
    if (fresh.length === 0) return false;
    const isInOrder = fresh.every((line, index) => line.id > (fresh[index - 1]?.id ?? this.#lines.at(-1)?.id ?? -1));
    const all = [...this.#lines, ...fresh];
    if (!isInOrder) all.sort((a, b) => a.id - b.id);
    const excess = Math.max(0, all.length - this.#limit);
    for (const line of all.slice(0, excess)) this.#ids.delete(line.id);
    this.#dropped += excess;
    this.#lines = all.slice(excess);
    return true;
  }

  #remember(id: number): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    this.#newest = Math.max(this.#newest, id);
    return true;
  }
}
