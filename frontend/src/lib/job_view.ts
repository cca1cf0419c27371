import type { JobState, JobStatus, PictureName, StageStatus } from '../api/types';
import { STAGE_NAMES, STAGE_STATE_WORDS } from './names';
import { duration, shortId, usd } from './format';
import { waitReason } from './waiting';

const ENDED: ReadonlySet<JobState> = new Set(['COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED']);

/** True if only a request can change the job. */
export function isEnded(state: JobState): boolean {
  return ENDED.has(state);
}

/** True if `POST /retry` continues the job. */
export function isRetryable(job: JobStatus): boolean {
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

/** The name of a job: that of its file, if it is known. */
export function titleOf(job: JobStatus): string {
  if (job.filename) return job.filename;
  const name = job.source.split('/').at(-1) ?? '';
  // an upload by HTTP is stored under a generated name
  return name === '' || name.startsWith('source-') ? `Job ${shortId(job.job_id)}` : name;
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
