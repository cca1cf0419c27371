import { useEffect, useRef, useState } from 'react';
import type { LogLine } from '../api/types';
import { LogBuffer } from '../lib/log_buffer';
import { type LogConnection, type LogFilter, LogStream } from './log_stream';

export const LOG_LIMIT = 5000;

export interface LogView {
  lines: readonly LogLine[];
  dropped: number;
  /** The server has older lines that were not loaded. */
  hasOlder: boolean;
  connection: LogConnection | 'paused';
  isLoaded: boolean;
}

const EMPTY: LogView = { lines: [], dropped: 0, hasOlder: false, connection: 'reconnecting', isLoaded: false };

/** The log that matches `filter`, live unless paused; after a pause it catches up. */
export function useLog(filter: LogFilter, isPaused: boolean): LogView {
  const key = JSON.stringify(filter);
  const [found, setFound] = useState({ key, view: EMPTY });
  const kept = useRef<{ key: string; buffer: LogBuffer } | null>(null);
  useEffect(() => {
    if (kept.current?.key !== key) kept.current = { key, buffer: new LogBuffer(LOG_LIMIT) };
    if (isPaused) return;
    const { buffer } = kept.current;
    const change = (part: Partial<LogView>): void => {
      setFound((now) => ({ key, view: { ...(now.key === key ? now.view : EMPTY), ...part } }));
    };
    const stream = new LogStream(
      JSON.parse(key) as LogFilter,
      {
        onLines: (lines) => {
          if (buffer.add(lines)) change({ lines: buffer.lines, dropped: buffer.dropped });
        },
        onConnection: (connection) => {
          change(connection === 'live' ? { connection, isLoaded: true } : { connection });
        },
        onSkipped: () => {
          change({ hasOlder: true });
        },
      },
      buffer.newest,
    );
    return () => {
      stream.close();
    };
  }, [key, isPaused]);
  const view = found.key === key ? found.view : EMPTY;
  return isPaused ? { ...view, connection: 'paused' } : view;
}
