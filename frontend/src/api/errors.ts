import type { MeasuredCheck, Problem } from './types';

/** A response other than 2xx: its problem, and the id of the request in the log. */
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

/** No response came: the network or the server is down. */
export class NetworkError extends Error {
  constructor() {
    super('The server could not be reached.');
    this.name = 'NetworkError';
  }
}

/** The problem in a response body; where the body holds none, one made from the status. */
export function toProblem(status: number, body: unknown): Problem {
  if (typeof body === 'object' && body !== null && 'detail' in body && 'code' in body) {
    const given = body as Partial<Problem>;
    return {
      title: String(given.title ?? `HTTP ${String(status)}`),
      status,
      detail: String(given.detail),
      code: String(given.code),
      ...(given.errors ? { errors: given.errors } : {}),
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

/** The seconds in a Retry-After header; this API sends no dates. */
export function retryAfter(header: string | null): number | null {
  const seconds = header === null ? NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}

/** True if the same request may succeed a little later. */
export function isTransient(error: unknown): boolean {
  if (error instanceof NetworkError) return true;
  return error instanceof ApiError && [408, 425, 429, 500, 502, 503, 504].includes(error.status);
}

/** The guardrail checks that failed; other problems have none. */
export function failedChecks(problem: Pick<Problem, 'errors'>): MeasuredCheck[] {
  return (problem.errors ?? []).flatMap(({ name, measured, limit = '', passed = false, message }) =>
    name === undefined || measured === undefined ? [] : [{ name, measured, limit, passed, message }],
  );
}
