import { useQueryClient } from '@tanstack/react-query';
import { CloudOff } from 'lucide-react';
import { useEffect } from 'react';
import { request } from '../api/client';
import { connection, useIsOffline } from '../state/connection';

const LONGEST_PAUSE_MS = 10_000;

/** Shown while the server is unreachable. Tries to reach it, then refreshes every view. */
export function OfflineBanner() {
  const isOffline = useIsOffline();
  const client = useQueryClient();
  useEffect(() => {
    const lost = connection.lost;
    window.addEventListener('offline', lost);
    return () => {
      window.removeEventListener('offline', lost);
    };
  }, []);
  useEffect(() => {
    if (!isOffline) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let pauseMs = 1000;
    const look = (): void => {
      clearTimeout(timer);
      request('/api/v1/me', { signal: stop.signal, allow: [401, 429, 500, 503] }).then(
        () => client.invalidateQueries(),
        () => {
          if (stop.signal.aborted) return;
          timer = setTimeout(look, pauseMs);
          pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
        },
      );
    };
    timer = setTimeout(look, pauseMs);
    window.addEventListener('online', look);
    return () => {
      window.removeEventListener('online', look);
      stop.abort();
      clearTimeout(timer);
    };
  }, [isOffline, client]);
  return (
    <div role="status" aria-live="polite">
      {isOffline && (
        <p
          data-testid="offline-banner"
          className="flex items-center justify-center gap-2 bg-warn-soft px-4 py-2 text-sm font-medium text-warn"
        >
          <CloudOff aria-hidden className="size-4" />
          Offline, reconnecting. What you see may be out of date.
        </p>
      )}
    </div>
  );
}
