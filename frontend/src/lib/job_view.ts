import type { ErrorCode, JobState, JobStatus, PictureName, StageStatus } from '../api/types';
import { STAGE_DOINGS, STAGE_NAMES, STAGE_STATE_WORDS } from './names';
import { dayAndClock, duration, roughly, shortId, usd } from './format';
import { waitReason } from './waiting';

const ENDED: ReadonlySet<JobState> = new Set(['COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED']);

/** True if only a request can change the job. */
export function isEnded(state: JobState): boolean {
  return ENDED.has(state);
}

// the same again ends the same, or the API refuses it until somebody has acted
const RETRY_IS_USELESS: ReadonlySet<string> = new Set<ErrorCode>([
  'payment_unknown',
  'no_subject_found',
  'gpu_out_of_memory',
  'source_not_found',
  'source_changed',
  'upload_unreadable',
  'image_expired',
  'job_expired',
]);

/** True if `POST /retry` continues the job, and that may end otherwise. */
export function isRetryable(job: JobStatus): boolean {
  if (job.expired_at || RETRY_IS_USELESS.has(job.error?.code ?? '')) return false;
  return job.state === 'FAILED' || job.state === 'CANCELLED';
}

/** The existing pictures of a job, in the order of the pipeline; none after they were deleted. */
export function picturesOf(job: JobStatus): PictureName[] {
  if (job.expired_at) return [];
  const made = job.stages.filter((stage) => stage.output !== null && stage.stage !== 'guardrail');
  return ['source', ...made.map((stage) => stage.stage)];
}

/** The latest picture of a job; null after the pictures were deleted. */
export function newestPicture(job: JobStatus): PictureName | null {
  return picturesOf(job).at(-1) ?? null;
}

/** The name of a job: that of its file; where that is unknown, its scene. Never a number. */
export function titleOf(job: JobStatus): string {
  return fileNameOf(job) ?? (job.prompt.trim() || `Photo of ${dayAndClock(job.created_at)}`);
}

/** The name that the photo came with; null if it came without one. */
export function fileNameOf(job: JobStatus): string | null {
  const name = job.filename ?? job.source.split('/').at(-1) ?? '';
  // an upload by HTTP is stored under a generated name
  return name === '' || name.startsWith('source-') ? null : name;
}

const FILE_WORDS: Record<PictureName, string> = {
  source: '',
  guardrail: '-clean',
  rembg: '-cutout',
  realesrgan: '-4x',
  nano_banana: '-placed',
};

/** The name, without its kind, under which a picture is saved: `coffee-placed`. The photo keeps its own. */
export function savedName(job: JobStatus, picture: PictureName): string {
  const name = fileNameOf(job) ?? `photo-${shortId(job.job_id)}`;
  if (picture === 'source') return name;
  return `${name.replace(/\.[^.]*$/, '')}${FILE_WORDS[picture]}`;
}

/** The stage that works or waits now, if one does. */
export function currentStage(job: JobStatus): StageStatus | undefined {
  return job.stages.find((stage) => stage.state === 'RUNNING' || stage.state === 'WAITING');
}

/** What a job does now, in a line: `Upscaling, 3 of 12 tiles, about 12 s left`; null once it has ended. */
export function doing(job: JobStatus): string | null {
  if (isEnded(job.state)) return null;
  const stage = currentStage(job);
  if (!stage) return 'Waiting to start';
  const reason = waitReason(stage);
  if (reason) return reason;
  const { tiles_done: done, tiles_total: total, expected_s: left } = stage;
  return [
    STAGE_DOINGS[stage.stage],
    typeof done === 'number' && typeof total === 'number' && total > 0 && `${String(done)} of ${String(total)} tiles`,
    left !== null && left >= 1 && `about ${roughly(left)} left`,
  ]
    .filter(Boolean)
    .join(', ');
}

/** How far a job is, 0 to 1: its stages that are done, and of the one that upscales its tiles. */
export function progressOf(job: JobStatus): number {
  const stage = currentStage(job);
  const { tiles_done: done, tiles_total: total } = stage ?? {};
  const part = done && total ? done / total / Math.max(job.stages.length, 1) : 0;
  return Math.min(1, job.progress + part);
}

/** What changed since `before`, in words for screen readers; null if nothing worth reading out did. */
export function announcement(before: JobStatus | undefined, now: JobStatus): string | null {
  if (!before || before.job_id !== now.job_id) return null;
  const words = now.stages.flatMap((stage, index) => {
    const was = before.stages[index];
    return was && was.state !== stage.state ? [stageWords(stage)] : [];
  });
  if (before.state !== now.state && isEnded(now.state)) {
    words.push(`Job ${now.state.toLowerCase()}, cost ${usd(now.cost_usd)}.`);
  }
  return words.length > 0 ? words.join(' ') : null;
}

function stageWords(stage: StageStatus): string {
  const name = STAGE_NAMES[stage.stage];
  const reason = waitReason(stage);
  if (reason) return `${name}: ${reason}.`;
  if (stage.state === 'SUCCEEDED' && stage.duration_ms !== null)
    return `${name}: done in ${duration(stage.duration_ms)}.`;
  return `${name}: ${STAGE_STATE_WORDS[stage.state].toLowerCase()}.`;
}
