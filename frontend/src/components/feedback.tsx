import { CircleAlert, RotateCw } from 'lucide-react';
import type { ReactNode } from 'react';
import { ApiError, failedChecks, isTransient } from '../api/errors';
import type { Problem } from '../api/types';
import { advice } from '../lib/advice';
import { Button } from './button';
import { CheckList } from './check_list';

interface ProblemProps {
  problem: Pick<Problem, 'code' | 'detail' | 'errors'>;
  requestId?: string | null;
  /** What to do about it, if not the advice for its code. */
  hint?: string | null;
  note?: string;
  onRetry?: (() => void) | undefined;
  children?: ReactNode;
}

/** A problem in one sentence, what to do about it, and the checks that failed. */
export function ProblemCard({
  problem,
  requestId,
  hint = advice(problem.code),
  note,
  onRetry,
  children,
}: ProblemProps) {
  const checks = failedChecks(problem).map((check) =>
    check.message === problem.detail ? { ...check, message: '' } : check,
  );
  return (
    <div role="alert" className="rounded-xl border border-bad/30 bg-bad-soft p-4 text-sm">
      <p className="flex items-start gap-2 font-semibold">
        <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-bad" />
        <span className="min-w-0 break-words">{problem.detail}</span>
      </p>
      {(hint ?? note) && <p className="mt-1 pl-6">{[hint, note].filter(Boolean).join(' ')}</p>}
      {checks.length > 0 && (
        <div className="mt-3 rounded-lg bg-surface px-3">
          <CheckList checks={checks} />
        </div>
      )}
      <div className="mt-3 flex flex-wrap items-center gap-x-4 gap-y-2 pl-6">
        {onRetry && (
          <Button size="sm" onClick={onRetry} icon={<RotateCw aria-hidden className="size-3.5" />}>
            Try again
          </Button>
        )}
        {children}
        <details className="min-w-0 text-xs text-muted">
          <summary>For support</summary>
          <p className="mt-1 font-mono break-all">
            {problem.code}
            {requestId && <> · request {requestId}</>}
          </p>
        </details>
      </div>
    </div>
  );
}

/** Any error, shown as a problem; it offers to try again only where that may help. */
export function ErrorCard({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  if (error instanceof ApiError) {
    const retry = isTransient(error) ? onRetry : undefined;
    return <ProblemCard problem={error.problem} requestId={error.requestId} onRetry={retry} />;
  }
  const detail = error instanceof Error ? error.message : 'Something went wrong in this page.';
  return <ProblemCard problem={{ code: 'network', detail }} onRetry={onRetry} />;
}

interface FailedQuery {
  query: { isError: boolean; error: unknown; refetch: () => Promise<unknown> };
  className?: string;
}

/** Why a query failed, with a button to repeat it; shows nothing if it has not failed. */
export function QueryError({ query, className = '' }: FailedQuery) {
  if (!query.isError) return null;
  return (
    <div className={className}>
      <ErrorCard error={query.error} onRetry={() => void query.refetch()} />
    </div>
  );
}

export function EmptyState({ title, children, icon }: { title: string; children?: ReactNode; icon?: ReactNode }) {
  return (
    <div className="card flex flex-col items-center gap-3 px-6 py-14 text-center">
      {icon && <div className="text-muted">{icon}</div>}
      <p className="text-base font-semibold">{title}</p>
      {children && <div className="max-w-md text-sm text-muted">{children}</div>}
    </div>
  );
}

export function Skeleton({ className = '' }: { className?: string }) {
  return <div aria-hidden className={`skeleton ${className}`} />;
}

export function Loading({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div role="status">
      <span className="sr-only">{label}</span>
      {children}
    </div>
  );
}

/** Placeholder for rows while they load. */
export function Rows() {
  return (
    <Loading label="Loading">
      <div className="flex flex-col gap-3">
        {[0, 1, 2].map((row) => (
          <Skeleton key={row} className="h-8" />
        ))}
      </div>
    </Loading>
  );
}

export function ProgressBar({ value, label, testId }: { value: number; label: string; testId?: string }) {
  const percent = Math.round(Math.min(Math.max(value, 0), 1) * 100);
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      data-testid={testId}
      className="h-1.5 w-full overflow-hidden rounded-full bg-sunken"
    >
      <div
        className="h-full rounded-full bg-accent transition-[width] duration-300"
        style={{ width: `${String(percent)}%` }}
      />
    </div>
  );
}
