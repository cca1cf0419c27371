/** Shapes of the answers of the HTTP API, as api/views.py and its neighbours give them. */

export const STAGES = ['guardrail', 'rembg', 'realesrgan', 'nano_banana'] as const;
export type Stage = (typeof STAGES)[number];

export const JOB_STATES = ['QUEUED', 'VALIDATING', 'RUNNING', 'COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED'] as const;
export type JobState = (typeof JOB_STATES)[number];

export type StageState = 'PENDING' | 'RUNNING' | 'WAITING' | 'SUCCEEDED' | 'REJECTED' | 'FAILED' | 'CANCELLED';

export type Role = 'user' | 'operator' | 'admin';

export interface ErrorView {
  code: string;
  message: string;
  stage?: string | null;
}

export interface StageView {
  stage: Stage;
  state: StageState;
  attempt: number;
  duration_ms: number | null;
  vram_used_gb: number | null;
  cost_usd: number;
  cached: boolean;
  started_at: string | null;
  finished_at: string | null;
  waiting_until: string | null;
  output: string | null;
  error: ErrorView | null;
  queue_ahead?: number | null;
  tiles_done?: number | null;
  tiles_total?: number | null;
}

export interface CallbackView {
  url: string;
  state: 'pending' | 'delivered' | 'failed';
  attempts: number;
  last_status: number | null;
  last_error: string | null;
}

export interface JobStatus {
  job_id: string;
  state: JobState;
  stage: Stage | null;
  progress: number;
  batch_id: string | null;
  source: string;
  created_at: string;
  updated_at: string;
  finished_at: string | null;
  expired_at: string | null;
  error: ErrorView | null;
  cost_usd: number;
  run: number;
  stages: StageView[];
  callback: CallbackView | null;
  links: { self: string; events: string; cancel: string; retry: string; result: string | null };
  prompt?: string | null;
  aspect_ratio?: string | null;
  image_size?: string | null;
  filename?: string | null;
}

export interface JobPage {
  jobs: JobStatus[];
  cursor: string | null;
}

export interface Accepted {
  job_id: string;
  status: JobState;
}

export interface Usage {
  jobs_per_minute: number;
  jobs_last_minute: number;
  concurrent_jobs: number;
  open_jobs: number;
  usd_per_day: number;
  usd_today: number;
}

export interface Me {
  user_id: string;
  name: string;
  role: Role;
  usage: Usage | null;
}

export interface Check {
  name: string;
  passed: boolean | null;
  measured: string;
  limit: string;
  code?: string | null;
  message: string;
}

export interface GuardrailReport {
  job_id: string;
  verdict: 'admitted' | 'rejected';
  code: string | null;
  message: string;
  checked_at: string;
  duration_ms: number;
  checks: Check[];
}

export interface Limits {
  formats: string[];
  max_bytes: number;
  min_side_px: number;
  max_side_px: number;
  max_megapixels: number;
  max_frames: number;
  max_prompt_chars: number;
}

export interface Problem {
  title: string;
  status: number;
  detail: string;
  code: string;
  job_id?: string | null;
  errors?: Record<string, unknown>[] | null;
}

export interface BatchSummary {
  batch_id: string;
  created_at: string;
  requested: number;
  items: number;
  ended: number;
  progress: number;
  states: Partial<Record<JobState, number>>;
  cancelled_at: string | null;
}

export interface BatchPage {
  batches: BatchSummary[];
  cursor: string | null;
}

export interface RefusedItem {
  index: number;
  blob: string;
  code: string;
  message: string;
}

export interface BatchStatus extends Omit<BatchSummary, 'created_at'> {
  created_at?: string | null;
  jobs: JobStatus[];
  refused: RefusedItem[];
}

export interface LogLine {
  id: number;
  timestamp: string;
  level: string;
  event: string;
  job_id: string | null;
  version: string;
  stage: string | null;
  [key: string]: unknown;
}

export interface Circuit {
  dependency: string;
  state: 'closed' | 'half_open' | 'open';
  forced: boolean;
  failures: number;
  last_error: string | null;
  changed_at: string | null;
  changed_by: string | null;
  probe_at: string | null;
}

export interface Health {
  status: 'ok' | 'degraded' | 'down';
  version: string;
  dependencies: Record<
    string,
    { state: 'ok' | 'degraded' | 'down'; reason: string | null; duration_ms?: number | null }
  >;
}

export interface Sums {
  name: string;
  pictures: number;
  settled_usd: number;
  unknown_usd: number;
  open_usd: number;
}

export interface UnknownPayment {
  job_id: string;
  owner_id: string;
  run: number;
  sent_at: string | null;
  usd: number;
  note: string | null;
}

export interface Spend {
  price_usd: number;
  today: { day: string; budget_usd: number; committed_usd: number; remaining_usd: number };
  days: Sums[];
  users: Sums[];
  unknown: UnknownPayment[];
}

const TERMINAL: ReadonlySet<JobState> = new Set(['COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED']);

/** True when a job changes no more without a request. */
export function isEnded(state: JobState): boolean {
  return TERMINAL.has(state);
}

/** True when POST /retry takes the job up again. */
export function isRetryable(job: JobStatus): boolean {
  return job.state === 'FAILED' || job.state === 'CANCELLED';
}
