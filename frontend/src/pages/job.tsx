import { useQueryClient } from '@tanstack/react-query';
import { Check, Copy } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { Link, useParams } from 'react-router';
import { useJob } from '../api/queries';
import type { JobStatus } from '../api/types';
import { announcement, isEnded, isRetryable, picturesOf, titleOf } from '../lib/job_view';
import { JobStateBadge } from '../components/badge';
import { Button } from '../components/button';
import { ProblemCard, QueryError } from '../components/feedback';
import { JobCredentials } from '../components/credentials';
import { GuardrailReportCard } from '../components/guardrail_report';
import { JobActions } from '../components/job_actions';
import { JobTimeline } from '../components/job_timeline';
import { PageSkeleton } from '../components/layout';
import { PageHeading, Section } from '../components/page';
import { Result } from '../components/result';
import { Stepper } from '../components/stepper';
import { advice } from '../lib/advice';
import { dayAndClock, duration, shortId, usd } from '../lib/format';
import { useSimulated } from '../lib/use_simulated';
import { ME } from '../state/session';

export default function JobPage() {
  const { jobId = '' } = useParams();
  // the key starts a new page for another job: no state of the last one stays
  return <Job key={jobId} jobId={jobId} />;
}

function Job({ jobId }: { jobId: string }) {
  const query = useJob(jobId);
  const job = query.data;
  if (!job) {
    if (!query.isError) return <PageSkeleton />;
    return (
      <>
        <PageHeading title="Job" />
        <QueryError query={query} />
      </>
    );
  }
  return (
    <>
      <PageHeading title={titleOf(job)} tab={`${job.state} · ${titleOf(job)}`} aside={<JobActions job={job} />}>
        <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <JobStateBadge state={job.state} testId="job-state" />
          <span>{dayAndClock(job.created_at)}</span>
          <Cost job={job} />
          {job.run > 1 && <span>run {job.run}</span>}
          {job.batch_id && (
            <Link className="text-accent underline underline-offset-2" to={`/batches/${job.batch_id}`}>
              Batch {shortId(job.batch_id)}
            </Link>
          )}
        </span>
      </PageHeading>
      <Announcer job={job} />
      <QueryError query={query} className="mb-5" />
      <Failure job={job} />
      {/* one column on a phone: the picture, what is done and how, then the rest */}
      <div className="flex flex-col items-stretch gap-6 lg:grid lg:grid-cols-[minmax(0,1fr)_20rem] lg:items-start lg:gap-10">
        <div className="contents lg:flex lg:min-w-0 lg:flex-col lg:gap-6">
          <Result job={job} />
          <div className="order-1 lg:order-none">
            {picturesOf(job).includes('nano_banana') && <JobCredentials jobId={job.job_id} known={job.credentials} />}
            <GuardrailReportCard jobId={job.job_id} revision={guardrailRevision(job)} />
            <JobTimeline job={job} />
          </div>
        </div>
        <div className="contents lg:flex lg:min-w-0 lg:flex-col lg:gap-8">
          <Section title="Steps" isPlain>
            <Stepper stages={job.stages} told={job.error?.message} />
          </Section>
          <Details job={job} />
        </div>
      </div>
    </>
  );
}

function Cost({ job }: { job: JobStatus }) {
  const isSimulated = useSimulated();
  return (
    <span>
      Cost <span className="font-semibold text-ink">{usd(job.cost_usd)}</span>
      {isSimulated && <span className="font-semibold text-warn"> simulated</span>}
    </span>
  );
}

/** Changes only when the guardrail has made progress: then the report is loaded again. */
function guardrailRevision(job: JobStatus): string {
  return `${String(job.run)}/${job.stages[0]?.state ?? ''}/${job.state === 'REJECTED' ? 'rejected' : ''}`;
}

function Announcer({ job }: { job: JobStatus }) {
  const client = useQueryClient();
  const before = useRef<JobStatus | undefined>(undefined);
  const [words, setWords] = useState('');
  useEffect(() => {
    const next = announcement(before.current, job);
    const hasEnded = before.current && before.current.state !== job.state && isEnded(job.state);
    before.current = job;
    // the job's cost counts towards today's spend
    if (hasEnded) void client.invalidateQueries({ queryKey: ME });
    if (next) setWords(next);
  }, [job, client]);
  return (
    <p role="status" aria-live="polite" className="sr-only" data-testid="announcer">
      {words}
    </p>
  );
}

function Failure({ job }: { job: JobStatus }) {
  if (!job.error || (job.state !== 'FAILED' && job.state !== 'REJECTED')) return null;
  const { code, message } = job.error;
  return (
    <div className="mb-6" data-testid="job-error">
      <ProblemCard problem={{ code, detail: message }} hint={advice(code, isRetryable(job))} note={paidWords(job)} />
    </div>
  );
}

function paidWords(job: JobStatus): string {
  if (job.cost_usd > 0) return `${usd(job.cost_usd)} was paid.`;
  return job.error?.code === 'payment_unknown' ? 'It is not known yet whether it was paid.' : 'Nothing was paid.';
}

function Details({ job }: { job: JobStatus }) {
  const took = job.finished_at ? new Date(job.finished_at).getTime() - new Date(job.created_at).getTime() : null;
  const rows: (readonly [string, string | null | undefined])[] = [
    ...(job.output === 'scene'
      ? ([
          ['Scene', job.prompt],
          ['Aspect ratio', job.aspect_ratio],
          ['Image size', job.image_size],
        ] as const)
      : []),
    ['Thinking', job.thinking_level],
    ['Seed', job.seed === null ? null : String(job.seed)],
    ['Cost', usd(job.cost_usd)],
    ['Took', took === null ? null : duration(took)],
    ['Source', job.source.startsWith('uploads/') ? job.source : null],
    ['Callback', job.callback ? `${job.callback.state}: ${job.callback.url}` : null],
  ];
  return (
    <Section title="Details" isPlain>
      <dl className="grid grid-cols-[6.5rem_1fr] gap-y-2 text-sm">
        {rows.map(
          ([name, value]) =>
            value && (
              <div key={name} className="col-span-2 grid grid-cols-subgrid">
                <dt className="text-muted">{name}</dt>
                <dd className="min-w-0 break-words">{value}</dd>
              </div>
            ),
        )}
        <dt className="text-muted">Job id</dt>
        <dd className="flex min-w-0 items-start gap-1">
          <code className="min-w-0 pt-1.5 font-mono text-xs break-all">{job.job_id}</code>
          <CopyButton text={job.job_id} />
        </dd>
      </dl>
    </Section>
  );
}

function CopyButton({ text }: { text: string }) {
  const [isCopied, setIsCopied] = useState(false);
  return (
    <Button
      size="sm"
      kind="quiet"
      className="px-2!"
      aria-label={isCopied ? 'Copied' : 'Copy the job id'}
      icon={isCopied ? <Check aria-hidden className="size-3.5" /> : <Copy aria-hidden className="size-3.5" />}
      onClick={() => {
        void navigator.clipboard.writeText(text).then(() => {
          setIsCopied(true);
        });
      }}
    />
  );
}
