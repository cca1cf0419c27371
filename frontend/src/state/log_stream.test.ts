import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LogLine } from '../api/types';
import { LogBuffer } from '../lib/log_buffer';
import { serve } from '../test/server';
import { HISTORY, type LogConnection, LogStream } from './log_stream';

function line(id: number): LogLine {
  return { id, timestamp: '2026-11-24T12:00:00Z', level: 'info', event: 'e', job_id: null, version: '1', stage: null };
}

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

  /** One response of the server: it opens, sends lines and ends; EventSource then connects again. */
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
  let skipped: number;
  let history: number[];
  let asked: string[];

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('EventSource', FakeEventSource);
    FakeEventSource.opened = [];
    buffer = new LogBuffer(5000);
    states = [];
    skipped = 0;
    history = [1, 2];
    asked = [];
    serve((request) => {
      asked.push(new URL(request.url, 'http://test').search);
      return new Response(history.map((id) => JSON.stringify(line(id))).join('\n'), {
        headers: { 'X-Last-Event-ID': String(history.at(-1) ?? 7) },
      });
    });
    start();
  });

  const start = (): void => {
    stream = new LogStream(
      { level: 'info' },
      {
        onLines: (lines) => buffer.add(lines),
        onConnection: (state) => states.push(state),
        onSkipped: () => {
          skipped += 1;
        },
      },
    );
  };

  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  const newest = (): FakeEventSource => {
    const source = FakeEventSource.opened.at(-1);
    if (!source) throw new Error('no connection');
    return source;
  };

  it('reads the existing lines, then follows from the last one', async () => {
    await vi.advanceTimersByTimeAsync(0);
    expect(buffer.lines.map((each) => each.id)).toEqual([1, 2]);
    expect(newest().url).toBe('/api/v1/logs?level=info&after=2');
    expect(states.at(-1)).toBe('live');
    expect(asked).toEqual([`?level=info&tail=${String(HISTORY)}`]);
    expect(skipped).toBe(0);
  });

  it('reports that older lines exist', async () => {
    stream.close();
    history = Array.from({ length: HISTORY }, (_, index) => index + 1);
    start();
    await vi.advanceTimersByTimeAsync(0);
    expect(skipped).toBe(1);
  });

  it('continues after what an empty response has searched', async () => {
    stream.close();
    history = [];
    start();
    await vi.advanceTimersByTimeAsync(0);
    expect(newest().url).toBe('/api/v1/logs?level=info&after=7');
  });

  it('does not take the end of a response for an error', async () => {
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
