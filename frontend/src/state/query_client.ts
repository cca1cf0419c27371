import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query';
import { ApiError, isTransient } from '../api/errors';
import { connection } from './connection';
import { forgetEverything, ME } from './session';

const LONGEST_DELAY_MS = 15_000;
const SERVER_ATTEMPTS = 4;

/** 0.5, 1, 2, ... 15 s in ms, or the server's Retry-After. */
function retryDelay(attempt: number, error: unknown): number {
  if (error instanceof ApiError && error.retryAfterS !== null) {
    return Math.min(error.retryAfterS * 1000, LONGEST_DELAY_MS);
  }
  return Math.min(500 * 2 ** attempt, LONGEST_DELAY_MS);
}

/** A few retries after a server error; no limit while the server is unreachable. */
function shouldRetry(failures: number, error: unknown): boolean {
  if (!isTransient(error)) return false;
  return connection.isLost || failures < SERVER_ATTEMPTS;
}

export function createQueryClient(): QueryClient {
  const onError = (error: Error): void => {
    if (error instanceof ApiError && error.status === 401) forgetEverything(client);
  };
  const client = new QueryClient({
    queryCache: new QueryCache({
      onError: (error, query) => {
        if (query.queryKey[0] !== ME[0]) onError(error);
      },
    }),
    mutationCache: new MutationCache({
      onError: (error, _variables, _context, mutation) => {
        if (mutation.options.meta?.isSignIn !== true) onError(error);
      },
    }),
    defaultOptions: {
      queries: { networkMode: 'always', retry: shouldRetry, retryDelay, staleTime: 2000 },
      mutations: { networkMode: 'always', retry: false },
    },
  });
  return client;
}
