import { Images, Plus } from 'lucide-react';
import { Link, useSearchParams } from 'react-router';
import { useJobs } from '../api/queries';
import type { JobState } from '../api/types';
import { JOB_STATES } from '../lib/names';
import { Button, buttonClass } from '../components/button';
import { EmptyState, QueryError } from '../components/feedback';
import { JobRow } from '../components/job_rows';
import { LoadMore, RowsSkeleton } from '../components/paged_list';
import { PageHeading } from '../components/page';
import { useRole } from '../state/session';

const GROUPS: Record<string, JobState[]> = {
  OPEN: ['QUEUED', 'VALIDATING', 'RUNNING'],
  ...Object.fromEntries(JOB_STATES.map((state) => [state, [state]])),
};

export default function JobsPage() {
  const [search, setSearch] = useSearchParams();
  const { isOperator } = useRole();
  const chosen = search.get('state') ?? '';
  const query = useJobs({ states: GROUPS[chosen] ?? [] });
  const jobs = query.data?.pages.flatMap((page) => page.jobs) ?? [];
  return (
    <>
      <PageHeading
        title="Jobs"
        aside={
          <>
            <label className="flex items-center gap-2 text-sm text-muted">
              State
              <select
                data-testid="state-filter"
                className="field w-auto!"
                value={chosen}
                onChange={(event) => {
                  setSearch(event.target.value ? { state: event.target.value } : {}, { replace: true });
                }}
              >
                <option value="">All</option>
                <option value="OPEN">Open</option>
                {JOB_STATES.map((state) => (
                  <option key={state} value={state}>
                    {state}
                  </option>
                ))}
              </select>
            </label>
            <Link to="/" className={buttonClass('primary')}>
              <Plus aria-hidden className="size-4" />
              New job
            </Link>
          </>
        }
      >
        {isOperator ? 'Jobs of all users, newest first.' : 'Your jobs, newest first.'}
      </PageHeading>
      <QueryError query={query} className="mb-4" />
      {query.isPending && <RowsSkeleton />}
      {query.data && jobs.length === 0 && (
        <EmptyState
          title={chosen ? 'No jobs in this state' : 'No jobs yet'}
          icon={<Images aria-hidden className="size-8" />}
        >
          {chosen ? (
            <Button
              size="sm"
              onClick={() => {
                setSearch({}, { replace: true });
              }}
            >
              Show all
            </Button>
          ) : (
            <>
              Send a photo, or upload one to the container <code>uploads</code>.
            </>
          )}
        </EmptyState>
      )}
      {jobs.length > 0 && (
        <ul aria-label="Jobs" className="card divide-y divide-line overflow-hidden">
          {jobs.map((job) => (
            <JobRow key={job.job_id} job={job} />
          ))}
        </ul>
      )}
      <LoadMore query={query} />
    </>
  );
}
