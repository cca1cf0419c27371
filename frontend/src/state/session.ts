import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getJson, request } from '../api/client';
import { ApiError } from '../api/errors';
import type { CallerInfo } from '../api/types';
import { draft } from './draft';
import { uploads } from './uploads';

export const ME = ['me'] as const;
const ME_EVERY_MS = 20_000;

/** Who is signed in; null if nobody is. */
async function fetchMe(signal?: AbortSignal): Promise<CallerInfo | null> {
  try {
    return await getJson<CallerInfo>('/api/v1/me', { signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export function useMe() {
  return useQuery({
    queryKey: ME,
    queryFn: ({ signal }) => fetchMe(signal),
    refetchInterval: (query) => (query.state.data ? ME_EVERY_MS : false),
  });
}

export function useRole() {
  const role = useMe().data?.role ?? 'user';
  return { role, isOperator: role !== 'user' };
}

export function useSignIn() {
  const client = useQueryClient();
  return useMutation({
    meta: { isSignIn: true },
    mutationFn: (key: string) => getJson<CallerInfo>('/api/v1/session', { method: 'POST', body: { key } }),
    onSuccess: (me) => {
      forgetEverything(client);
      client.setQueryData(ME, me);
    },
  });
}

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async () => {
      await request('/api/v1/session', { method: 'DELETE' });
      return fetchMe();
    },
    onSuccess: (stillThere) => {
      sessionStorage.clear();
      uploads.clear();
      draft.clear();
      forgetEverything(client);
      // the platform in front of the app signed the person in: only the platform can sign them out
      if (stillThere) window.location.assign('/.auth/logout?post_logout_redirect_uri=/');
    },
  });
}

/** Forget everything that was shown to the last person. */
export function forgetEverything(client: QueryClient): void {
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== ME[0] });
  client.setQueryData(ME, null);
}
