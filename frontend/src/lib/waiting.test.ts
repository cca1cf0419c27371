import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../api/types';
import { stage } from '../test/jobs';
import { clock } from './format';
import { waitReason } from './waiting';

const UNTIL = '2026-11-24T12:04:31Z';

function waiting(code: ErrorCode, message = 'said by the server.') {
  return stage({ state: 'WAITING', waiting_until: UNTIL, error: { code, message, stage: null } });
}

describe('waitReason', () => {
  it('says that calls are paused, and when the next is tried', () => {
    expect(waitReason(waiting('circuit_open'))).toBe(`Calls to the GPU are paused, next try ${clock(UNTIL)}`);
  });

  it.each<[ErrorCode, string]>([
    ['gpu_starting', 'GPU is starting'],
    ['gpu_busy', 'GPU is busy'],
    ['gpu_unreachable', 'GPU does not respond'],
    ['nano_banana_unavailable', 'Nano Banana is overloaded'],
  ])('says when %s is tried again', (code, words) => {
    expect(waitReason(waiting(code))).toBe(`${words}, next try ${clock(UNTIL)}`);
  });

  it('says how many jobs are ahead at the GPU, and nothing when none is', () => {
    expect(waitReason(stage({ state: 'RUNNING', queue_ahead: 3 }))).toBe('Waiting at the GPU, 3 ahead');
    expect(waitReason(stage({ state: 'RUNNING', queue_ahead: 0 }))).toBeNull();
    expect(waitReason(stage({ state: 'RUNNING' }))).toBeNull();
  });

  it('falls back on the words of the server for a code that it does not know', () => {
    expect(waitReason(waiting('brand_new' as ErrorCode))).toBe(`said by the server, next try ${clock(UNTIL)}`);
  });

  it('is silent for a stage that does not wait', () => {
    expect(waitReason(stage({ state: 'SUCCEEDED' }))).toBeNull();
    expect(waitReason(stage({ state: 'FAILED', error: { code: 'gpu_busy', message: 'x', stage: null } }))).toBeNull();
  });
});
