import { Ban } from 'lucide-react';
import { Link, useParams } from 'react-router';
import { pictureUrl, useBatch, useCancelBatch } from '../api/queries';
import type { JobStatus, RefusedBatchItem } from '../api/types';
import { newestPicture, titleOf } from '../lib/job_view';
import { ActionButton } from '../components/action_button';
import { JobStateBadge } from '../components/badge';
import { ErrorCard, ProgressBar, QueryError } from '../components/feedback';
import { PageSkeleton } from '../components/layout';
import { PageHeading, Section } from '../components/page';
import { LoadMore } from '../components/paged_list';
import { Picture } from '../components/picture';
import { StateCounts } from '../components/state_counts';
import { dayAndClock, plural, shortId, usd } from '../lib/format';

export default function BatchPage() {
  const { batchId = '' } = useParams();
  const query = useBatch(batchId);
  const cancel = useCancelBatch();
  const batch = query.data?.pages[0];
  if (!batch) {
    if (!query.isError) return <PageSkeleton />;
    return (
      <>
        <PageHeading title="Batch" />
        <QueryError query={query} />
      </>
    );
  }
  const isOpen = batch.ended < batch.items;
  return (
    <>
      <PageHeading
        title={`Batch ${shortId(batch.batch_id)}`}
        aside={
          isOpen &&
          !batch.cancelled_at && (
            <ActionButton
              action={cancel}
              variables={batch.batch_id}
              kind="danger"
              data-testid="cancel"
              icon={<Ban aria-hidden className="size-4" />}
            >
              Cancel batch
            </ActionButton>
          )
        }
      >
        {plural(batch.requested, 'photo')} · {usd(batch.cost_usd)}
        {batch.cancelled_at && <> · cancelled {dayAndClock(batch.cancelled_at)}</>}
      </PageHeading>
      {cancel.error && (
        <div className="mb-5">
          <ErrorCard error={cancel.error} />
        </div>
      )}
      <QueryError query={query} className="mb-5" />
      <Section
        title="Progress"
        className="mb-6"
        aside={
          <span className="text-sm text-muted" aria-live="polite">
            {batch.ended} of {batch.items} ended
          </span>
        }
      >
        <ProgressBar value={batch.progress} label="Jobs ended" testId="batch-progress" />
        <div className="mt-4">
          <StateCounts states={batch.states} items={batch.items} />
        </div>
      </Section>
      <Rejected items={batch.refused} />
      <ul aria-label="Photos of this batch" className="grid grid-cols-2 gap-4 sm:grid-cols-3 lg:grid-cols-5">
        {query.data?.pages
          .flatMap((page) => page.jobs)
          .map((job) => (
            <Item key={job.job_id} job={job} />
          ))}
      </ul>
      <LoadMore query={query} />
    </>
  );
}

function Item({ job }: { job: JobStatus }) {
  const picture = newestPicture(job);
  return (
    <li data-testid="batch-item" data-job-id={job.job_id} data-state={job.state}>
      <Link to={`/jobs/${job.job_id}`} className="card block overflow-hidden rounded-xl! hover:border-line-strong">
        <Picture
          src={picture ? pictureUrl(job.job_id, picture, 256) : null}
          alt={titleOf(job)}
          className="aspect-square w-full rounded-none! border-0! border-b!"
        />
        <div className="p-3">
          <p className="truncate text-xs font-medium">{titleOf(job)}</p>
          <div className="mt-1.5">
            <JobStateBadge state={job.state} />
          </div>
          {job.error && <p className="mt-1.5 line-clamp-3 text-xs text-bad">{job.error.message}</p>}
        </div>
      </Link>
    </li>
  );
}

function Rejected({ items }: { items: readonly RefusedBatchItem[] }) {
  if (items.length === 0) return null;
  return (
    <Section title={`Rejected: ${plural(items.length, 'item')}`} className="mb-6">
      <ul className="divide-y divide-line text-sm">
        {items.map((item) => (
          <li key={item.index} className="grid gap-x-4 py-2.5 sm:grid-cols-[1fr_1.5fr]" data-testid="rejected-item">
            <span className="truncate font-medium">{item.blob}</span>
            <span>
              {item.message} <span className="font-mono text-xs text-muted">{item.code}</span>
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}
