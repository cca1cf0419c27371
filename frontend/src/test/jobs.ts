import type { JobStatus, StageStatus } from '../api/types';
import { STAGES } from '../lib/names';

export function stage(change: Partial<StageStatus> = {}): StageStatus {
  return {
    stage: 'realesrgan',
    state: 'PENDING',
    attempt: 0,
    repeat_reason: null,
    restarts: 0,
    duration_ms: null,
    waited_ms: null,
    vram_used_gb: null,
    cost_usd: 0,
    cached: false,
    started_at: null,
    finished_at: null,
    waiting_until: null,
    output: null,
    queue_ahead: null,
    tiles_done: null,
    tiles_total: null,
    expected_s: null,
    error: null,
    ...change,
  };
}

export function job(change: Partial<JobStatus> = {}): JobStatus {
  return {
    job_id: '0b1f3c52-0000-4000-8000-000000000001',
    state: 'RUNNING',
    stage: 'guardrail',
    progress: 0,
    batch_id: null,
    source: 'uploads/cup.jpg',
    filename: null,
    output: 'scene',
    scaled_from_mp: null,
    prompt: 'On a table.',
    aspect_ratio: '1:1',
    image_size: '1K',
    thinking_level: null,
    seed: null,
    created_at: '2026-11-24T12:00:00Z',
    updated_at: '2026-11-24T12:00:01Z',
    finished_at: null,
    expired_at: null,
    credentials: null,
    error: null,
    cost_usd: 0,
    estimated_usd: null,
    run: 1,
    stages: STAGES.map((name) => stage({ stage: name })),
    callback: null,
    links: { self: '', events: '', cancel: '', retry: '', result: null },
    ...change,
  };
}
