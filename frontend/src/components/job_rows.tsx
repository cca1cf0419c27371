import { Link } from 'react-router';
import { pictureUrl } from '../api/queries';
import type { JobStatus } from '../api/types';
import { dayAndClock, usd } from '../lib/format';
import { currentStage, doing, isEnded, newestPicture, progressOf, titleOf } from '../lib/job_view';
import { JobStateBadge } from './badge';
import { ProgressBar } from './feedback';
import { JobActions } from './job_actions';
import { Picture } from './picture';

/** A job in a line: its newest picture, its name, what it does, and what one can do with it. */
export function JobRow({ job }: { job: JobStatus }) {
  const picture = newestPicture(job);
  return (
    <li
      data-testid="job-row"
      data-job-id={job.job_id}
      data-state={job.state}
      className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3"
    >
      <Link data-item to={`/jobs/${job.job_id}`} className="flex min-w-0 flex-1 basis-60 items-center gap-4">
        <Picture
          src={picture ? pictureUrl(job.job_id, picture, 192) : null}
          alt={picture ? 'Newest picture' : 'Job'}
          className="size-16 shrink-0"
        />
        <div className="min-w-0 flex-1">
          <p className="truncate text-sm font-semibold">{titleOf(job)}</p>
          <p className="truncate text-xs text-muted">
            {dayAndClock(job.created_at)}
            {job.prompt && titleOf(job) !== job.prompt && <> · {job.prompt}</>}
          </p>
          <Doing job={job} />
        </div>
      </Link>
      <div className="ml-auto flex flex-wrap items-center justify-end gap-x-3 gap-y-2 lg:grid lg:grid-cols-[3.5rem_6rem_6rem] lg:justify-items-end">
        <span className="text-sm text-muted">{usd(job.cost_usd)}</span>
        <JobStateBadge state={job.state} />
        <JobActions job={job} size="sm" />
      </div>
    </li>
  );
}

function Doing({ job }: { job: JobStatus }) {
  if (job.error && isEnded(job.state))
    return <p className="mt-0.5 line-clamp-2 text-xs text-bad">{job.error.message}</p>;
  const words = doing(job);
  if (words === null) return null;
  const isWaiting = currentStage(job)?.state === 'WAITING';
  return (
    <div className="mt-1.5 flex items-center gap-3">
      <div className="w-24 shrink-0">
        <ProgressBar value={progressOf(job)} label={`Progress of ${titleOf(job)}`} />
      </div>
      <p className={`truncate text-xs ${isWaiting ? 'text-warn' : 'text-muted'}`}>{words}</p>
    </div>
  );
}
