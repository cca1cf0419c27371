import type { Check, Problem } from './types';

/** An answer other than success, with the server's problem and the id to find it in the log by. */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Problem;
  readonly requestId: string | null;
  readonly retryAfterS: number | null;

  constructor(problem: Problem, requestId: string | null = null, retryAfterS: number | null = null) {
    super(problem.detail);
    this.name = 'ApiError';
    this.status = problem.status;
    this.problem = problem;
    this.requestId = requestId;
    this.retryAfterS = retryAfterS;
  }
}

/** No answer came: the network is gone, or the server. */
export class NetworkError extends Error {
  constructor() {
    super('The server could not be reached.');
    this.name = 'NetworkError';
  }
}

/** The problem of an answer's body; a body that is none gets one made from the status. */
export function toProblem(status: number, body: unknown): Problem {
  if (typeof body === 'object' && body !== null && 'detail' in body && 'code' in body) {
    const given = body as Partial<Problem>;
    return {
      title: String(given.title ?? `HTTP ${String(status)}`),
      status,
      detail: String(given.detail),
      code: String(given.code),
      job_id: given.job_id ?? null,
      errors: given.errors ?? null,
    };
  }
  return {
    title: `HTTP ${String(status)}`,
    status,
    detail: 'The server gave no reason.',
    code: `http_${String(status)}`,
  };
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Seconds of a Retry-After header; dates are not used by this API. */
export function retryAfter(header: string | null): number | null {
  const seconds = header === null ? NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}

/** True for what may go better by itself a little later. */
export function isTransient(error: unknown): boolean {
  if (error instanceof NetworkError) return true;
  return error instanceof ApiError && [408, 425, 429, 500, 502, 503, 504].includes(error.status);
}

/** The guardrail's failed checks in a problem; other problems have none. */
export function failedChecks(problem: Problem): Check[] {
  return (problem.errors ?? []).filter(
    (each): each is Record<string, unknown> & Check => 'measured' in each && 'name' in each,
  );
}
