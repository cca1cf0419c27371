import { connection } from '../state/connection';
import { ApiError, NetworkError, parseJson, retryAfter, toProblem } from './errors';

interface Options {
  method?: 'GET' | 'POST' | 'DELETE';
  /** Sent as JSON, or as it is if it is a form. */
  body?: unknown;
  signal?: AbortSignal | undefined;
  accept?: string;
  /** Statuses other than 2xx that are not errors. */
  allow?: readonly number[];
}

/** Call the API with the browser's session. Throws `ApiError`, `NetworkError`, or the signal's AbortError. */
export async function request(path: string, options: Options = {}): Promise<Response> {
  const { method = 'GET', body, signal, accept = 'application/json', allow = [] } = options;
  // the browser writes a form's type itself, with its boundary
  const isJson = body !== undefined && !(body instanceof FormData);
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: { Accept: accept, ...(isJson ? { 'Content-Type': 'application/json' } : {}) },
      ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as FormData) }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    connection.lost();
    throw new NetworkError();
  }
  connection.reached();
  if (!response.ok && !allow.includes(response.status)) throw await problemOf(response);
  return response;
}

/** The JSON body of a response. Throws as `request` does. */
export async function getJson<T>(path: string, options: Options = {}): Promise<T> {
  const response = await request(path, options);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    // the connection broke in the middle of the body
    connection.lost();
    throw new NetworkError();
  }
}

async function problemOf(response: Response): Promise<ApiError> {
  const body = parseJson(await response.text().catch(() => ''));
  return new ApiError(
    toProblem(response.status, body),
    response.headers.get('X-Request-Id'),
    retryAfter(response.headers.get('Retry-After')),
  );
}
