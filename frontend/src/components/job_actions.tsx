import { Ban, RotateCw } from 'lucide-react';
import { useCancelJob, useRetryJob } from '../api/queries';
import type { JobStatus } from '../api/types';
import { isEnded, isRetryable } from '../lib/job_view';
import { ActionButton } from './action_button';
import { ErrorCard } from './feedback';

/** Cancel or retry, whichever the job's state allows, and the server's reason if it did not work. */
export function JobActions({ job, size = 'md' }: { job: JobStatus; size?: 'md' | 'sm' }) {
  const cancel = useCancelJob();
  const retry = useRetryJob();
  const error = cancel.error ?? retry.error;
  return (
    <>
      {!isEnded(job.state) && (
        <ActionButton
          action={cancel}
          variables={job.job_id}
          size={size}
          kind="danger"
          data-testid="cancel"
          icon={<Ban aria-hidden className="size-4" />}
        >
          Cancel
        </ActionButton>
      )}
      {isRetryable(job) && (
        <ActionButton
          action={retry}
          variables={job.job_id}
          size={size}
          kind="primary"
          data-testid="retry"
          icon={<RotateCw aria-hidden className="size-4" />}
        >
          Retry
        </ActionButton>
      )}
      {error && (
        <div className="col-span-full basis-full">
          <ErrorCard error={error} />
        </div>
      )}
    </>
  );
}
