import { Ban, RotateCw } from 'lucide-react';
import { useCancelJob, useRetryJob } from '../api/queries';
import { isEnded, isRetryable, type JobStatus } from '../api/types';
import { Button } from './button';
import { ErrorCard } from './feedback';

/** Cancel and retry, whichever a job's state admits, with the reason where the server refuses. */
export function JobActions({ job, size = 'md' }: { job: JobStatus; size?: 'md' | 'sm' }) {
  const cancel = useCancelJob();
  const retry = useRetryJob();
  const error = cancel.error ?? retry.error;
  return (
    <>
      {!isEnded(job.state) && (
        <Button
          size={size}
          kind="danger"
          data-testid="cancel"
          disabled={cancel.isPending}
          icon={<Ban aria-hidden className="size-4" />}
          onClick={() => {
            cancel.mutate(job.job_id);
          }}
        >
          Cancel
        </Button>
      )}
      {isRetryable(job) && (
        <Button
          size={size}
          kind="primary"
          data-testid="retry"
          disabled={retry.isPending}
          icon={<RotateCw aria-hidden className="size-4" />}
          onClick={() => {
            retry.mutate(job.job_id);
          }}
        >
          Retry
        </Button>
      )}
      {error && (
        <div className="col-span-full basis-full">
          <ErrorCard error={error} />
        </div>
      )}
    </>
  );
}
