import { Link } from 'react-router';
import { pictureUrl } from '../api/queries';
import type { JobStatus } from '../api/types';
import { newestPicture, titleOf } from '../lib/job_view';
import { STAGE_NAMES } from '../lib/names';
import { dayAndClock, shortId, usd } from '../lib/format';
import { waitReason } from '../lib/waiting';
import { JobStateBadge } from './badge';
import { JobActions } from './job_actions';
import { Picture } from './picture';

export function JobRow({ job }: { job: JobStatus }) {
  const picture = newestPicture(job);
  return (
    <li
      data-testid="job-row"
      data-job-id={job.job_id}
      data-state={job.state}
      className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3"
    >
      <Link to={`/jobs/${job.job_id}`} className="flex min-w-0 flex-1 basis-60 items-center gap-4">
        <div className="flex w-[6.25rem] shrink-0 -space-x-3">
          <Picture
            src={job.expired_at ? null : pictureUrl(job.job_id, 'source', 96)}
            alt="Original"
            className="size-14"
          />
          {picture && picture !== 'source' && (
            <Picture src={pictureUrl(job.job_id, picture, 96)} alt="Newest picture" className="size-14 shadow-sm" />
          )}
        </div>
        <div className="min-w-0">
          <p className="truncate text-sm font-semibold">{titleOf(job)}</p>
          <p className="truncate text-xs text-muted">
            {dayAndClock(job.created_at)} · <span className="font-mono">{shortId(job.job_id)}</span>
            {job.prompt && <> · {job.prompt}</>}
          </p>
          <Doing job={job} />
        </div>
      </Link>
      <div className="ml-auto flex flex-wrap items-center justify-end gap-x-3 gap-y-2 lg:grid lg:grid-cols-[3.5rem_6.5rem_6rem] lg:justify-items-end">
        <span className="text-sm text-muted">{usd(job.cost_usd)}</span>
        <JobStateBadge state={job.state} />
        <JobActions job={job} size="sm" />
      </div>
    </li>
  );
}

function Doing({ job }: { job: JobStatus }) {
  if (job.error) return <p className="mt-0.5 line-clamp-2 text-xs text-bad">{job.error.message}</p>;
  const current = job.stages.find((stage) => stage.state === 'RUNNING' || stage.state === 'WAITING');
  if (!current) return null;
  return (
    <p className={`mt-0.5 truncate text-xs ${current.state === 'WAITING' ? 'text-warn' : 'text-accent'}`}>
      {waitReason(current) ?? STAGE_NAMES[current.stage]}
    </p>
  );
}
