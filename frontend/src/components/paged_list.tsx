import { Button } from './button';
import { Loading, Skeleton } from './feedback';

interface PagedQuery {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => Promise<unknown>;
}

/** Loads the next page of a list; shows nothing after the last page. */
export function LoadMore({ query }: { query: PagedQuery }) {
  if (!query.hasNextPage) return null;
  return (
    <div className="mt-5 text-center">
      <Button data-testid="load-more" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {query.isFetchingNextPage ? 'Loading' : 'Load more'}
      </Button>
    </div>
  );
}

/** Placeholder for a list with pictures while it loads. */
export function RowsSkeleton() {
  return (
    <Loading label="Loading">
      <div className="card divide-y divide-line">
        {[0, 1, 2, 3].map((row) => (
          <div key={row} className="flex items-center gap-4 p-4">
            <Skeleton className="size-14" />
            <div className="flex-1">
              <Skeleton className="mb-2 h-4 w-1/3" />
              <Skeleton className="h-3 w-1/2" />
            </div>
          </div>
        ))}
      </div>
    </Loading>
  );
}
