import { Layers } from 'lucide-react';
import { Link } from 'react-router';
import { useBatches } from '../api/queries';
import type { BatchSummary } from '../api/types';
import { Badge } from '../components/badge';
import { EmptyState, QueryError } from '../components/feedback';
import { LoadMore, RowsSkeleton } from '../components/paged_list';
import { PageHeading } from '../components/page';
import { StateCounts } from '../components/state_counts';
import { dayAndClock, plural, shortId } from '../lib/format';

export default function BatchesPage() {
  const query = useBatches();
  const batches = query.data?.pages.flatMap((page) => page.batches) ?? [];
  return (
    <>
      <PageHeading title="Batches">Many uploaded photos in one request, a few at a time.</PageHeading>
      <QueryError query={query} className="mb-4" />
      {query.isPending && <RowsSkeleton />}
      {query.data && batches.length === 0 && (
        <EmptyState title="No batches yet" icon={<Layers aria-hidden className="size-8" />}>
          <code>POST /api/v1/batches</code> takes up to 1000 uploaded photos; see{' '}
          <a className="text-accent underline" href="/docs">
            the API’s documentation
          </a>
          .
        </EmptyState>
      )}
      {batches.length > 0 && (
        <ul aria-label="Batches" className="card divide-y divide-line">
          {batches.map((batch) => (
            <BatchRow key={batch.batch_id} batch={batch} />
          ))}
        </ul>
      )}
      <LoadMore query={query} />
    </>
  );
}

function BatchRow({ batch }: { batch: BatchSummary }) {
  const rejected = batch.requested - batch.items;
  return (
    <li data-testid="batch-row" data-batch-id={batch.batch_id}>
      <Link
        to={`/batches/${batch.batch_id}`}
        className="grid items-center gap-x-6 gap-y-2 px-5 py-4 hover:bg-sunken/60 sm:grid-cols-[14rem_1fr_auto]"
      >
        <div>
          <p className="text-sm font-semibold">Batch {shortId(batch.batch_id)}</p>
          <p className="text-xs text-muted">
            {dayAndClock(batch.created_at)} · {plural(batch.requested, 'photo')}
          </p>
        </div>
        <StateCounts states={batch.states} items={batch.items} />
        <div className="flex items-center gap-2">
          {rejected > 0 && <Badge tone="bad">{rejected} rejected</Badge>}
          {batch.cancelled_at && <Badge>Cancelled</Badge>}
          <span className="text-sm font-medium">
            {batch.ended} of {batch.items}
          </span>
        </div>
      </Link>
    </li>
  );
}
