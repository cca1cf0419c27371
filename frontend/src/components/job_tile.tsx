import { Link } from 'react-router';
import { pictureUrl } from '../api/queries';
import type { JobStatus } from '../api/types';
import { dayAndClock } from '../lib/format';
import { doing, isEnded, newestPicture, progressOf, titleOf } from '../lib/job_view';
import { JobStateBadge } from './badge';
import { ProgressBar } from './feedback';
import { Picture } from './picture';

/** A job as its newest picture, with its name and what it does. */
export function JobTile({ job, testId = 'job-row' }: { job: JobStatus; testId?: string }) {
  const picture = newestPicture(job);
  const words = doing(job);
  return (
    <li data-testid={testId} data-job-id={job.job_id} data-state={job.state} className="min-w-0">
      <Link
        data-item
        to={`/jobs/${job.job_id}`}
        className="group block overflow-hidden rounded-2xl border border-line bg-surface hover:border-line-strong"
      >
        <Picture
          src={picture ? pictureUrl(job.job_id, picture, 384) : null}
          alt={picture ? 'Newest picture' : 'Job'}
          isWhole
          className="aspect-square w-full rounded-none! border-0!"
        />
        <div className="flex h-24 flex-col justify-between border-t border-line p-3">
          <div>
            <p className="truncate text-sm font-semibold">{titleOf(job)}</p>
            <p className={`truncate text-xs ${job.error ? 'text-bad' : 'text-muted'}`}>
              {words ?? job.error?.message ?? job.prompt}
            </p>
          </div>
          {isEnded(job.state) ? (
            <p className="flex items-center justify-between gap-2 text-xs text-muted">
              <JobStateBadge state={job.state} />
              <span className="truncate max-sm:hidden">{dayAndClock(job.created_at)}</span>
            </p>
          ) : (
            <div className="pb-1.5">
              <ProgressBar value={progressOf(job)} label={`Progress of ${titleOf(job)}`} />
            </div>
          )}
        </div>
      </Link>
    </li>
  );
}

export function TilesSkeleton({ count = 8 }: { count?: number }) {
  return (
    <ul aria-hidden className={TILES}>
      {Array.from({ length: count }, (_, tile) => (
        <li key={tile} className="overflow-hidden rounded-2xl border border-line">
          <div className="skeleton aspect-square w-full rounded-none!" />
          <div className="h-24" />
        </li>
      ))}
    </ul>
  );
}

export const TILES = 'grid grid-cols-2 gap-3 sm:grid-cols-3 sm:gap-5 lg:grid-cols-4';
