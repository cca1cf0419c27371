import { Button } from './button';
import { Loading, Skeleton } from './feedback';

interface PagedQuery {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => Promise<unknown>;
}

/** The button that brings the next page of a list, as long as there is one. */
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

/** Stands for the rows of a list with pictures while they are being loaded. */
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
