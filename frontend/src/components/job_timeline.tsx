import { Link } from 'react-router';
import { useJobLog } from '../api/queries';
import type { JobStatus, LogLine } from '../api/types';
import { isEnded } from '../lib/job_view';
import { humanize, STAGE_NAMES } from '../lib/names';
import { clock, duration, plural } from '../lib/format';
import { buttonClass } from './button';
import { Loading, QueryError, Skeleton } from './feedback';
import { Disclosure } from './page';

const DOTS: Record<string, string> = { error: 'bg-bad', warning: 'bg-warn' };

/** The log lines of a job, oldest first. */
export function JobTimeline({ job }: { job: JobStatus }) {
  const jobId = job.job_id;
  const log = useJobLog(jobId, job.updated_at, !isEnded(job.state));
  const count = log.data?.length;
  return (
    <Disclosure
      title="Timeline"
      summary={count !== undefined && <span className="text-xs text-muted">{plural(count, 'event')}</span>}
    >
      {log.isPending && (
        <Loading label="Loading the log">
          <Skeleton className="h-32" />
        </Loading>
      )}
      <QueryError query={log} />
      {log.data?.length === 0 && <p className="text-sm text-muted">This job has no log lines.</p>}
      {log.data && log.data.length > 0 && (
        // makes a long list scroll by keyboard too
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <ol className="max-h-[36rem] overflow-y-auto pr-2 text-sm" tabIndex={0} aria-label="Events of this job">
          {log.data.map((line) => (
            <Event key={line.id} line={line} />
          ))}
        </ol>
      )}
      <Link to={`/logs?job=${encodeURIComponent(jobId)}`} className={`mt-3 ${buttonClass('secondary', 'sm')}`}>
        Open in logs
      </Link>
    </Disclosure>
  );
}

function Event({ line }: { line: LogLine }) {
  const stage = line.stage && line.stage in STAGE_NAMES ? STAGE_NAMES[line.stage as keyof typeof STAGE_NAMES] : null;
  return (
    <li className="grid grid-cols-[4.25rem_0.75rem_1fr] items-baseline gap-x-2 py-1.5">
      <time dateTime={line.timestamp} className="text-xs text-muted">
        {clock(line.timestamp)}
      </time>
      <span aria-hidden className={`size-1.5 self-center rounded-full ${DOTS[line.level] ?? 'bg-line-strong'}`} />
      <p className="min-w-0 break-words">
        <span className={line.level === 'error' ? 'font-medium text-bad' : 'font-medium'}>{humanize(line.event)}</span>
        {stage && <span className="text-muted"> · {stage}</span>}
        {typeof line.duration_ms === 'number' && <span className="text-muted"> · {duration(line.duration_ms)}</span>}
        {typeof line.error === 'string' && <span className="text-muted"> · {line.error}</span>}
        {typeof line.message === 'string' && <span className="text-muted"> · {line.message}</span>}
      </p>
    </li>
  );
}
