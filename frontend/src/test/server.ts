import { vi } from 'vitest';

export interface Call {
  method: string;
  url: URL;
  body: unknown;
}

type Answer = Response | Error | Promise<Response>;

/** A fake server at the HTTP boundary: returns what `answer` returns, and records the calls. */
export function serve(answer: (call: Call, count: number) => Answer): Call[] {
  const calls: Call[] = [];
  vi.stubGlobal('fetch', (input: string, init: RequestInit = {}) => {
    const call = {
      method: init.method ?? 'GET',
      url: new URL(input, 'http://localhost'),
      body: typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined,
    };
    calls.push(call);
    const given = answer(call, calls.length);
    if (given instanceof Error) return Promise.reject(given);
    return Promise.race([
      Promise.resolve(given),
      new Promise<never>((_, reject) => {
        init.signal?.addEventListener('abort', () => {
          reject(new DOMException('aborted', 'AbortError'));
        });
      }),
    ]);
  });
  return calls;
}

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } });
}

export function problem(status: number, code: string, detail: string, more: object = {}): Response {
  return new Response(JSON.stringify({ title: 'Rejected', status, code, detail, ...more }), {
    status,
    headers: { 'Content-Type': 'application/problem+json', 'X-Request-Id': 'req-7' },
  });
}

export const noNetwork = (): Error => new TypeError('Failed to fetch');
