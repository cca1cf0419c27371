import { useEffect, useState } from 'react';

/** The time in ms since the epoch, updated every `everyMs` while `isTicking`. */
export function useNow(everyMs: number, isTicking: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!isTicking) return;
    const timer = setInterval(() => {
      setNow(Date.now());
    }, everyMs);
    return () => {
      clearInterval(timer);
    };
  }, [everyMs, isTicking]);
  return now;
}
