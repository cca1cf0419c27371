import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getJson, request } from './client';
import { ApiError } from './errors';
import type { JobOptions } from './upload';
import type {
  BatchPage,
  BatchStatus,
  CircuitChange,
  CircuitStatus,
  Credentials,
  GuardedDependency,
  GuardrailLimits,
  GuardrailVerdict,
  HealthReport,
  JobPage,
  JobState,
  JobStatus,
  LogLine,
  Quote,
  SpendReport,
} from './types';
import { isEnded } from '../lib/job_view';

const LONG_POLL_S = 20;
const LIST_EVERY_MS = 3000;
const NEXT_POLL_MS = 100;
const HELD_MS = 150;
const COME_AGAIN_MS = 3000;

/** Resolves after `ms`, or at once when `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

/** A job, followed by long polling until it ends. */
export function useJob(jobId: string) {
  const client = useQueryClient();
  const key = ['job', jobId];
  return useQuery({
    queryKey: key,
    queryFn: async ({ signal }) => {
      const known = client.getQueryData<JobStatus>(key);
      const isFollowed = known !== undefined && !isEnded(known.state) && client.getQueryState(key)?.error === null;
      const query = isFollowed
        ? `?${new URLSearchParams({ wait: String(LONG_POLL_S), seen: known.updated_at }).toString()}`
        : '';
      const asked = performance.now();
      const job = await getJson<JobStatus>(`/api/v1/status/${encodeURIComponent(jobId)}${query}`, { signal });
      // the API holds a request until something changes, but not when too many wait: those come again later
      const wasHeld = performance.now() - asked > HELD_MS;
      if (isFollowed && !wasHeld && job.updated_at === known.updated_at) await pause(COME_AGAIN_MS, signal);
      return job;
    },
    refetchInterval: (query) => {
      const job = query.state.data;
      return job && !isEnded(job.state) && query.state.status === 'success' ? NEXT_POLL_MS : false;
    },
    // a hidden tab keeps polling: its title shows when the job has ended
    refetchIntervalInBackground: true,
    staleTime: 0,
  });
}

export interface JobFilter {
  states: JobState[];
  limit?: number;
}

export function useJobs({ states, limit = 25 }: JobFilter) {
  return useInfiniteQuery({
    queryKey: ['jobs', states, limit],
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams({ limit: String(limit) });
      for (const state of states) query.append('state', state);
      if (pageParam) query.set('cursor', pageParam);
      return getJson<JobPage>(`/api/v1/jobs?${query.toString()}`, { signal });
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor,
    refetchInterval: LIST_EVERY_MS,
    placeholderData: keepPreviousData,
  });
}

function useJobAction(action: 'cancel' | 'retry') {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (jobId: string) =>
      getJson<JobStatus>(`/api/v1/jobs/${encodeURIComponent(jobId)}/${action}`, { method: 'POST' }),
    onSuccess: async (job) => {
      const key = ['job', job.job_id];
      client.setQueryData(key, job);
      await Promise.all([
        // ends the running long poll, which would return the state before this change
        client.invalidateQueries({ queryKey: key }),
        client.invalidateQueries({ queryKey: ['jobs'] }),
        client.invalidateQueries({ queryKey: ['batch'] }),
      ]);
    },
  });
}

export const useCancelJob = () => useJobAction('cancel');
export const useRetryJob = () => useJobAction('retry');

/** The guardrail's report on a job; null while there is none. */
export function useGuardrailReport(jobId: string, revision: string) {
  return useQuery({
    queryKey: ['guardrail', jobId, revision],
    queryFn: async ({ signal }) => {
      try {
        return await getJson<GuardrailVerdict>(`/api/v1/jobs/${encodeURIComponent(jobId)}/guardrail`, { signal });
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }
    },
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  });
}

/** What the placed picture says of where it comes from; null while it is not signed. */
export function useProvenance(jobId: string) {
  return useQuery({
    queryKey: ['provenance', jobId],
    queryFn: async ({ signal }) => {
      try {
        return await getJson<Credentials>(`/api/v1/jobs/${encodeURIComponent(jobId)}/provenance`, { signal });
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }
    },
    staleTime: Infinity,
  });
}

/** What a file says of where it comes from. */
export function useVerify() {
  return useMutation({
    mutationFn: (file: File) => {
      const form = new FormData();
      form.append('file', file, file.name);
      return getJson<Credentials>('/api/v1/provenance/verify', { method: 'POST', body: form });
    },
  });
}

/** What so many jobs cost at most, and what is left of today's money. */
export function useQuote(options: JobOptions, count: number) {
  const { aspectRatio: aspect_ratio, imageSize: image_size } = options;
  return useQuery({
    queryKey: ['quote', aspect_ratio, image_size, count],
    queryFn: ({ signal }) =>
      getJson<Quote>('/api/v1/quote', { method: 'POST', body: { aspect_ratio, image_size, count }, signal }),
    enabled: count > 0,
    placeholderData: keepPreviousData,
  });
}

/** The log lines of a job so far. */
export function useJobLog(jobId: string, revision: string, isOpen: boolean) {
  return useQuery({
    queryKey: ['job-log', jobId, revision],
    queryFn: async ({ signal }) => (await fetchLogPage({ job_id: jobId, after: 0 }, signal)).lines,
    placeholderData: keepPreviousData,
    refetchInterval: isOpen ? LIST_EVERY_MS : false,
  });
}

export interface LogPage {
  lines: LogLine[];
  /** Id to pass as `after` for the next page. */
  position: number;
}

/** Up to 500 existing log lines, oldest first; with `tail`, the latest ones. Does not wait for new lines. */
export async function fetchLogPage(query: Record<string, string | number>, signal?: AbortSignal): Promise<LogPage> {
  const words = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await request(`/api/v1/logs?${words.toString()}`, { signal, accept: 'application/x-ndjson' });
  const text = await response.text();
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogLine);
  return { lines, position: Number(response.headers.get('X-Last-Event-ID') ?? lines.at(-1)?.id ?? 0) };
}

export function useLimits() {
  return useQuery({
    queryKey: ['limits'],
    queryFn: ({ signal }) => getJson<GuardrailLimits>('/api/v1/guardrail/limits', { signal }),
    staleTime: Infinity,
  });
}

export function useBatches() {
  return useInfiniteQuery({
    queryKey: ['batches'],
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams({ limit: '25', ...(pageParam ? { cursor: pageParam } : {}) });
      return getJson<BatchPage>(`/api/v1/batches?${query.toString()}`, { signal });
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor,
    refetchInterval: LIST_EVERY_MS,
  });
}

export function useBatch(batchId: string) {
  return useInfiniteQuery({
    queryKey: ['batch', batchId],
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams(pageParam ? { cursor: pageParam } : {});
      return getJson<BatchStatus>(`/api/v1/batches/${encodeURIComponent(batchId)}?${query.toString()}`, { signal });
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor,
    refetchInterval: (query) => ((query.state.data?.pages[0]?.progress ?? 0) >= 1 ? false : LIST_EVERY_MS),
  });
}

export function useCancelBatch() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (batchId: string) =>
      getJson<BatchStatus>(`/api/v1/batches/${encodeURIComponent(batchId)}/cancel`, { method: 'POST' }),
    onSuccess: (batch) =>
      Promise.all([
        client.invalidateQueries({ queryKey: ['batch', batch.batch_id] }),
        client.invalidateQueries({ queryKey: ['batches'] }),
      ]),
  });
}

export function useHealth() {
  return useQuery({
    queryKey: ['health'],
    // a 503 holds the report too: it names the dependency that is down
    queryFn: ({ signal }) => getJson<HealthReport>('/healthz', { signal, allow: [503] }),
    refetchInterval: 10_000,
  });
}

export function useCircuits() {
  return useQuery({
    queryKey: ['circuits'],
    queryFn: ({ signal }) => getJson<CircuitStatus[]>('/api/v1/circuit-breakers', { signal }),
    refetchInterval: 5000,
  });
}

export function useSetCircuit() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ dependency, state }: CircuitChange & { dependency: GuardedDependency }) =>
      getJson<CircuitStatus>(`/api/v1/circuit-breakers/${encodeURIComponent(dependency)}`, {
        method: 'POST',
        body: { state },
      }),
    onSuccess: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: ['circuits'] }),
        client.invalidateQueries({ queryKey: ['health'] }),
      ]),
  });
}

export function useSpend(days: number) {
  return useQuery({
    queryKey: ['spend', days],
    queryFn: ({ signal }) => getJson<SpendReport>(`/api/v1/spend?days=${String(days)}`, { signal }),
    refetchInterval: 15_000,
    placeholderData: keepPreviousData,
  });
}

export function useResolvePayment() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ jobId, charged }: { jobId: string; charged: boolean }) =>
      getJson<JobStatus>(`/api/v1/jobs/${encodeURIComponent(jobId)}/spend/resolve`, {
        method: 'POST',
        body: { charged },
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: ['spend'] }),
  });
}

/** The URL by which a browser saves a picture, named as its photo. */
export function downloadUrl(jobId: string, name: string): string {
  return `${pictureUrl(jobId, name)}?download=1`;
}

/** URL of a picture of a job; `width` in pixels asks for a thumbnail. */
export function pictureUrl(jobId: string, name: string, width?: number): string {
  const path = `/api/v1/jobs/${encodeURIComponent(jobId)}/images/${name}`;
  return width === undefined ? path : `${path}?width=${String(width)}`;
}
