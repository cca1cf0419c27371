import type { DependencyHealth, JobState, PictureName, Role, Stage, StageState } from '../api/types';

export const STAGE_NAMES: Record<Stage, string> = {
  guardrail: 'Guardrail',
  rembg: 'Cut out (rembg)',
  realesrgan: 'Upscale 4x (Real-ESRGAN)',
  nano_banana: 'Place in scene (Nano Banana)',
};

/** The stages in the order of the pipeline. */
export const STAGES = Object.keys(STAGE_NAMES) as Stage[];

export const PICTURE_NAMES: Record<PictureName, string> = {
  source: 'Original',
  guardrail: 'Cleaned original',
  rembg: 'Cut out',
  realesrgan: 'Upscaled 4x',
  nano_banana: 'Placed in scene',
};

/** What is done in each stage, for a line of text. */
export const STAGE_DOINGS: Record<Stage, string> = {
  guardrail: 'Checking the photo',
  rembg: 'Cutting out',
  realesrgan: 'Upscaling',
  nano_banana: 'Placing in the scene',
};

export const STAGE_STATE_WORDS: Record<StageState, string> = {
  PENDING: 'Not started',
  RUNNING: 'Running',
  WAITING: 'Waiting',
  SUCCEEDED: 'Done',
  REJECTED: 'Rejected',
  FAILED: 'Failed',
  CANCELLED: 'Cancelled',
};

export const DEPENDENCY_NAMES: Record<string, string> = {
  database: 'Database',
  storage: 'Blob storage',
  durable: 'Durable orchestration',
  gpu: 'GPU service',
  nano_banana: 'Nano Banana',
  nano_banana_fallback: 'Nano Banana, second provider',
  content_safety: 'Azure AI Content Safety',
};

export const ROLE_NAMES: Record<Role, string> = { user: 'User', operator: 'Operator', admin: 'Administrator' };

export type Tone = 'neutral' | 'accent' | 'ok' | 'warn' | 'bad';

export const JOB_TONES: Record<JobState, Tone> = {
  QUEUED: 'neutral',
  VALIDATING: 'accent',
  RUNNING: 'accent',
  COMPLETED: 'ok',
  REJECTED: 'bad',
  FAILED: 'bad',
  CANCELLED: 'neutral',
};

export const JOB_STATE_WORDS: Record<JobState, string> = {
  QUEUED: 'Queued',
  VALIDATING: 'Checking',
  RUNNING: 'Running',
  COMPLETED: 'Done',
  REJECTED: 'Rejected',
  FAILED: 'Failed',
  CANCELLED: 'Cancelled',
};

export const HEALTH_TONES: Record<DependencyHealth['state'], Tone> = {
  ok: 'ok',
  idle: 'neutral',
  unknown: 'neutral',
  degraded: 'warn',
  down: 'bad',
};

export const HEALTH_WORDS: Record<DependencyHealth['state'], string> = {
  ok: 'OK',
  idle: 'Idle',
  unknown: 'Unknown',
  degraded: 'Degraded',
  down: 'Down',
};

/** The states in the order of a job's life. */
export const JOB_STATES = Object.keys(JOB_TONES) as JobState[];

const ACRONYMS: Record<string, string> = { nsfw: 'NSFW', gpu: 'GPU', usd: 'USD', vram: 'VRAM', url: 'URL', id: 'id' };

/** A snake_case word of the API as people read it. */
export function humanize(word: string): string {
  const text = word
    .split('_')
    .map((part) => ACRONYMS[part] ?? part)
    .join(' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
