import { describe, expect, it } from 'vitest';
import type { LogLine } from '../api/types';
import { LogBuffer } from './log_buffer';

function line(id: number): LogLine {
  return {
    id,
    timestamp: '2026-11-24T12:00:00Z',
    level: 'info',
    event: `e${String(id)}`,
    job_id: null,
    version: '1',
    stage: null,
  };
}

const ids = (buffer: LogBuffer): number[] => buffer.lines.map((each) => each.id);

describe('LogBuffer', () => {
  it('shows a line once, however often it comes', () => {
    const buffer = new LogBuffer(10);
    buffer.add([line(1), line(2), line(2)]);
    expect(buffer.add([line(2), line(1)])).toBe(false);
    expect(buffer.add([line(2), line(3)])).toBe(true);
    expect(ids(buffer)).toEqual([1, 2, 3]);
    expect(buffer.newest).toBe(3);
  });

  it('puts a line that comes late where it belongs', () => {
    const buffer = new LogBuffer(10);
    buffer.add([line(1), line(4)]);
    buffer.add([line(3), line(2)]);
    expect(ids(buffer)).toEqual([1, 2, 3, 4]);
  });

  it('keeps the newest lines and counts those it dropped', () => {
    const buffer = new LogBuffer(3);
    buffer.add([1, 2, 3, 4, 5].map(line));
    expect(ids(buffer)).toEqual([3, 4, 5]);
    expect(buffer.dropped).toBe(2);
  });

  it('takes no dropped line in again', () => {
    const buffer = new LogBuffer(2);
    buffer.add([1, 2, 3].map(line));
    expect(buffer.add([line(1)])).toBe(false);
    expect(ids(buffer)).toEqual([2, 3]);
    expect(buffer.dropped).toBe(1);
  });
});
