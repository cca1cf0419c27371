import { Columns2, Image } from 'lucide-react';
import { Suspense, useState } from 'react';
import type { JobStatus, PictureName } from '../api/types';
import { dayAndClock } from '../lib/format';
import { currentStage, doing, isEnded, picturesOf, progressOf } from '../lib/job_view';
import { loadPart } from '../lib/load_part';
import { Button } from './button';
import { DownloadButton } from './download_button';
import { ProgressBar, Skeleton } from './feedback';
import { StageStrip } from './stage_strip';
import { Viewer, type ViewerLook } from './viewer';

const Compare = loadPart(async () => ({ default: (await import('./compare')).Compare }));

/** What a job is about: its newest picture, large and whole; the others as small ones below. */
export function Result({ job }: { job: JobStatus }) {
  const pictures = picturesOf(job);
  const newest = pictures.at(-1);
  const [chosen, setChosen] = useState<PictureName | null>(null);
  const [isComparing, setIsComparing] = useState(false);
  if (!newest) {
    return (
      <section aria-label="Result" className="card p-5">
        <p className="text-sm text-muted">
          The pictures were deleted {job.expired_at ? `on ${dayAndClock(job.expired_at)} ` : ''}because of their age.
        </p>
      </section>
    );
  }
  const shown = chosen && pictures.includes(chosen) ? chosen : newest;
  const isPair = isComparing && pictures.length > 1;
  const look: ViewerLook = { ratio: ratioOf(job), overlay: <Progress job={job} /> };
  const actions = (
    <>
      <DownloadButton job={job} picture={isPair ? newest : shown} />
      <Button
        data-testid="compare-mode"
        disabled={pictures.length < 2}
        icon={isPair ? <Image aria-hidden className="size-4" /> : <Columns2 aria-hidden className="size-4" />}
        onClick={() => {
          setIsComparing(!isPair);
        }}
      >
        {isPair ? 'One picture' : 'Compare'}
      </Button>
    </>
  );
  return (
    <section aria-label="Result" className="card min-w-0 overflow-hidden" data-testid="result">
      {isPair ? (
        <Suspense fallback={<Skeleton className="max-h-[min(64vh,48rem)] w-full rounded-none!" />}>
          <Compare jobId={job.job_id} pictures={pictures} {...look}>
            {actions}
          </Compare>
        </Suspense>
      ) : (
        <Viewer key={shown} jobId={job.job_id} picture={shown} testId="picture" {...look}>
          {actions}
        </Viewer>
      )}
      <div className="p-4 sm:p-5">
        <StageStrip
          job={job}
          pictures={pictures}
          shown={isPair ? null : shown}
          onShow={(name) => {
            setIsComparing(false);
            setChosen(name);
          }}
        />
      </div>
    </section>
  );
}

/** How far a running job is, over its picture. */
function Progress({ job }: { job: JobStatus }) {
  const words = doing(job);
  if (isEnded(job.state) || words === null) return null;
  const isWaiting = currentStage(job)?.state !== 'RUNNING';
  return (
    <div
      className="absolute inset-x-3 bottom-3 z-10 rounded-xl bg-surface/95 px-4 py-3 shadow-card"
      data-testid="doing"
    >
      <p className={`mb-2 text-sm font-medium ${isWaiting ? 'text-warn' : ''}`}>{words}</p>
      <ProgressBar value={progressOf(job)} label="Progress of this job" />
    </div>
  );
}

function ratioOf(job: JobStatus): number {
  const [width, height] = job.aspect_ratio.split(':').map(Number);
  return width && height ? width / height : 1;
}
