import { fetchLogPage } from '../api/queries';
import { connection } from './connection';
import type { LogLine } from '../api/types';

export type LogConnection = 'live' | 'reconnecting';
export type LogFilter = Partial<Record<'job_id' | 'level' | 'stage', string>>;

export interface LogListener {
  onLines: (lines: LogLine[]) => void;
  onConnection: (state: LogConnection) => void;
  /** Older lines exist that were not loaded. */
  onSkipped: () => void;
}

/** Lines on the longest page that the server returns. */
export const HISTORY = 500;
const FLUSH_MS = 100;
const LONGEST_DELAY_MS = 15_000;

/** Follows the log by EventSource, from the newest lines; connects again when the server was away. */
export class LogStream {
  readonly #filter: LogFilter;
  readonly #listener: LogListener;
  readonly #stop = new AbortController();
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pending: LogLine[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #after: number;
  #failures = 0;
  #isAnswering = false;

  constructor(filter: LogFilter, listener: LogListener, after = 0) {
    this.#filter = filter;
    this.#listener = listener;
    this.#after = after;
    void this.#start();
  }

  close(): void {
    this.#stop.abort();
    this.#source?.close();
    clearTimeout(this.#timer);
    clearTimeout(this.#flushTimer);
  }

  async #start(): Promise<void> {
    try {
      if (this.#after === 0) await this.#readHistory();
      this.#connect();
    } catch {
      if (!this.#stop.signal.aborted) this.#later(() => void this.#start());
    }
  }

  async #readHistory(): Promise<void> {
    const { lines, position } = await fetchLogPage({ ...this.#filter, tail: HISTORY }, this.#stop.signal);
    if (lines.length >= HISTORY) this.#listener.onSkipped();
    if (lines.length > 0) this.#listener.onLines(lines);
    this.#after = position;
    this.#listener.onConnection('live');
  }

  #connect(): void {
    if (this.#stop.signal.aborted) return;
    const query = new URLSearchParams({ ...this.#filter, after: String(this.#after) });
    const source = new EventSource(`/api/v1/logs?${query.toString()}`);
    this.#source = source;
    source.onopen = () => {
      this.#isAnswering = true;
      this.#failures = 0;
      connection.reached();
      this.#listener.onConnection('live');
    };
    source.onmessage = (event: MessageEvent<string>) => {
      this.#queue(JSON.parse(event.data) as LogLine);
    };
    source.onerror = () => {
      this.#ended(source);
    };
  }

  /** EventSource reports the normal end of a response as an error too; without a response it is one. */
  #ended(source: EventSource): void {
    if (this.#isAnswering) {
      this.#isAnswering = false;
      if (source.readyState !== EventSource.CLOSED) return;
    }
    source.close();
    this.#listener.onConnection('reconnecting');
    this.#later(() => {
      this.#connect();
    });
  }

  #later(what: () => void): void {
    this.#listener.onConnection('reconnecting');
    const delay = Math.min(500 * 2 ** this.#failures, LONGEST_DELAY_MS);
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(what, delay);
  }

  #queue(line: LogLine): void {
    this.#pending.push(line);
    this.#after = Math.max(this.#after, line.id);
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      const lines = this.#pending;
      this.#pending = [];
      this.#listener.onLines(lines);
    }, FLUSH_MS);
  }
}
