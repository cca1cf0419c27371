import type { ErrorCode, Stage, StageStatus } from '../api/types';
import { clock } from './format';

const REASONS: Partial<Record<ErrorCode, string>> = {
  gpu_busy: 'GPU is busy',
  gpu_starting: 'GPU is starting',
  gpu_stopping: 'GPU is restarting',
  gpu_unreachable: 'GPU does not respond',
  gpu_timeout: 'GPU took too long',
  gpu_connection_lost: 'Connection to the GPU was lost',
  nano_banana_unavailable: 'Nano Banana is overloaded',
  nano_banana_unreachable: 'Nano Banana does not respond',
  nano_banana_rate_limited: 'Nano Banana asked to slow down',
  payment_pending: 'A paid call is in progress',
  delivery_failed: 'The paid picture is kept until it can be delivered',
  same_picture_pending: 'Another job is paying for the same picture',
};
const BUDGETS: Partial<Record<ErrorCode, string>> = {
  budget_usd_per_day: "Today's budget is used up",
  quota_usd_per_day: 'Your budget for today is used up',
};

const CALLED: Record<Stage, string> = {
  guardrail: 'the safety check',
  rembg: 'the GPU',
  realesrgan: 'the GPU',
  nano_banana: 'Nano Banana',
};

/** What a stage waits for, in one line; null if it does not wait. */
export function waitReason(stage: StageStatus): string | null {
  if (stage.state === 'RUNNING') return queueReason(stage.queue_ahead);
  if (stage.state !== 'WAITING') return null;
  const { error, waiting_until: until } = stage;
  if (error?.code === 'circuit_open') {
    const paused = `Calls to ${CALLED[stage.stage]} are paused`;
    return until ? `${paused}, next try ${clock(until)}` : paused;
  }
  const budget = error && BUDGETS[error.code];
  if (budget) return until ? `${budget}, continues at ${clock(until)}` : budget;
  const reason = (error && (REASONS[error.code] ?? error.message)) ?? 'Waiting for another try';
  const sentence = reason.replace(/[.\s]+$/, '');
  return until ? `${sentence}, next try ${clock(until)}` : sentence;
}

function queueReason(ahead: number | null): string | null {
  if (ahead === null || ahead <= 0) return null;
  return `Waiting at the GPU, ${String(ahead)} ahead`;
}
