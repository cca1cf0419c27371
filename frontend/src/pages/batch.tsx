import { Ban } from 'lucide-react';
import { useParams } from 'react-router';
import { useBatch, useCancelBatch } from '../api/queries';
import type { RefusedBatchItem } from '../api/types';
import { ActionButton } from '../components/action_button';
import { ErrorCard, ProgressBar, QueryError } from '../components/feedback';
import { JobTile, TILES } from '../components/job_tile';
import { PageSkeleton } from '../components/layout';
import { PageHeading, Section } from '../components/page';
import { LoadMore } from '../components/paged_list';
import { StateCounts } from '../components/state_counts';
import { dayAndClock, plural, usd } from '../lib/format';

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
        title={`Batch of ${plural(batch.requested, 'photo')}`}
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
        {dayAndClock(batch.created_at)} · {usd(batch.cost_usd)}
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
      <ul aria-label="Photos of this batch" className={TILES}>
        {query.data?.pages
          .flatMap((page) => page.jobs)
          .map((job) => (
            <JobTile key={job.job_id} job={job} testId="batch-item" />
          ))}
      </ul>
      <LoadMore query={query} />
    </>
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
