import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LogLine } from '../api/types';
import { LogBuffer } from '../lib/log_buffer';
import { serve } from '../test/server';
import { findTail, type LogConnection, LogStream } from './log_stream';

const PAGE = 500;

function line(id: number): LogLine {
  return { id, timestamp: '2026-11-24T12:00:00Z', level: 'info', event: 'e', job_id: null, version: '1', stage: null };
}

function pages(ids: number[]) {
  let looks = 0;
  const fetchPage = (after: number): Promise<LogLine[]> => {
    looks += 1;
    return Promise.resolve(ids.filter((id) => id > after).slice(0, PAGE).map(line));
  };
  return { fetchPage, looks: () => looks };
}

describe('findTail', () => {
  const signal = new AbortController().signal;

  it.each([
    ['an empty log', []],
    ['a short log', [1, 2, 3]],
    ['a long log', Array.from({ length: 120_000 }, (_, index) => index + 1)],
    ['a log of which only few lines are the caller’s', Array.from({ length: 2000 }, (_, index) => (index + 1) * 977)],
  ])('finds the end of %s in few looks', async (_, ids) => {
    const log = pages(ids);
    const { after, page } = await findTail(log.fetchPage, signal);
    expect(page.at(-1)?.id).toBe(ids.at(-1));
    expect(page.length).toBeLessThan(PAGE);
    expect(page.every((each) => each.id > after)).toBe(true);
    expect(log.looks()).toBeLessThanOrEqual(41);
  });
});

class FakeEventSource {
  static readonly CLOSED = 2;
  static opened: FakeEventSource[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: MessageEvent<string>) => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(readonly url: string) {
    FakeEventSource.opened.push(this);
  }

  close(): void {
    this.readyState = FakeEventSource.CLOSED;
  }

  /** One answer of the server: it opens, tells, and ends; EventSource then connects again by itself. */
  answer(ids: number[]): void {
    this.onopen?.();
    for (const id of ids) this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(line(id)) }));
    this.onerror?.();
  }
}

describe('LogStream', () => {
  let buffer: LogBuffer;
  let states: LogConnection[];
  let stream: LogStream;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('EventSource', FakeEventSource);
    FakeEventSource.opened = [];
    buffer = new LogBuffer(5000);
    states = [];
    serve(() => new Response([line(1), line(2)].map((each) => JSON.stringify(each)).join('\n')));
    stream = new LogStream(
      { level: 'info' },
      {
        onLines: (lines) => buffer.add(lines),
        onConnection: (state) => states.push(state),
        onSkipped: () => undefined,
      },
    );
  });

  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  const newest = (): FakeEventSource => {
    const source = FakeEventSource.opened.at(-1);
    if (!source) throw new Error('no connection');
    return source;
  };

  it('reads what is there and goes on live from its last line', async () => {
    await vi.advanceTimersByTimeAsync(0);
    expect(buffer.lines.map((each) => each.id)).toEqual([1, 2]);
    expect(newest().url).toBe('/api/v1/logs?level=info&after=2');
    expect(states.at(-1)).toBe('live');
  });

  it('takes the end of an answer for no fault', async () => {
    await vi.advanceTimersByTimeAsync(0);
    newest().answer([3]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(FakeEventSource.opened).toHaveLength(1);
    expect(states).not.toContain('reconnecting');
  });

  it('comes back after a loss without showing a line twice', async () => {
    await vi.advanceTimersByTimeAsync(0);
    newest().answer([3, 4]);
    newest().onerror?.();
    expect(states.at(-1)).toBe('reconnecting');
    await vi.advanceTimersByTimeAsync(1000);
    expect(newest().url).toContain('after=4');
    newest().answer([4, 5]);
    await vi.advanceTimersByTimeAsync(200);
    expect(states.at(-1)).toBe('live');
    expect(buffer.lines.map((each) => each.id)).toEqual([1, 2, 3, 4, 5]);
  });

  it('waits longer from loss to loss', async () => {
    await vi.advanceTimersByTimeAsync(0);
    newest().onerror?.();
    await vi.advanceTimersByTimeAsync(500);
    newest().onerror?.();
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeEventSource.opened).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeEventSource.opened).toHaveLength(3);
  });

  it('is silent after it was closed', async () => {
    await vi.advanceTimersByTimeAsync(0);
    newest().onerror?.();
    stream.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeEventSource.opened).toHaveLength(1);
  });
});
