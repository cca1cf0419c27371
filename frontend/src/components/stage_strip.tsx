import { LoaderCircle } from 'lucide-react';
import { pictureUrl } from '../api/queries';
import type { JobStatus, PictureName, StageStatus } from '../api/types';
import { PICTURE_NAMES, STAGE_STATE_WORDS } from '../lib/names';
import { Picture } from './picture';

interface Props {
  job: JobStatus;
  /** The existing pictures, in the order of the pipeline. */
  pictures: readonly PictureName[];
  shown: PictureName | null;
  onShow: (picture: PictureName) => void;
}

/** The photo and what each stage made of it, as small pictures; a press shows one large. */
export function StageStrip({ job, pictures, shown, onShow }: Props) {
  const stages = job.stages.filter((stage) => stage.stage !== 'guardrail');
  const names: PictureName[] = ['source', ...stages.map((stage) => stage.stage)];
  return (
    <ul
      aria-label="Pictures of this job"
      className="grid gap-2 sm:gap-3"
      style={{ gridTemplateColumns: `repeat(${String(names.length)}, minmax(0, 1fr))` }}
    >
      {names.map((name) => (
        <li key={name}>
          {pictures.includes(name) ? (
            <button
              type="button"
              data-testid={`show-${name}`}
              aria-pressed={shown === name}
              onClick={() => {
                onShow(name);
              }}
              className="group block w-full text-left"
            >
              <Picture
                src={pictureUrl(job.job_id, name, 384)}
                alt=""
                isWhole
                className={`aspect-4/3 w-full transition-shadow ${shown === name ? 'border-transparent! ring-2 ring-accent' : 'group-hover:border-line-strong!'}`}
              />
              <span
                className={`mt-1.5 block text-xs leading-snug font-medium sm:text-[0.8125rem] ${shown === name ? 'text-accent' : 'text-muted group-hover:text-ink'}`}
              >
                {PICTURE_NAMES[name]}
              </span>
            </button>
          ) : (
            <Missing name={name} stage={stages.find((stage) => stage.stage === name)} />
          )}
        </li>
      ))}
    </ul>
  );
}

function Missing({ name, stage }: { name: PictureName; stage: StageStatus | undefined }) {
  const isRunning = stage?.state === 'RUNNING';
  return (
    <>
      <div className="grid aspect-4/3 w-full place-items-center rounded-lg border border-dashed border-line-strong/50 px-1 text-center text-[0.6875rem] text-muted">
        {isRunning ? (
          <LoaderCircle aria-hidden className="size-4 animate-spin text-accent" />
        ) : (
          stage && STAGE_STATE_WORDS[stage.state]
        )}
      </div>
      <span className="mt-1.5 block text-xs leading-snug text-muted sm:text-[0.8125rem]">{PICTURE_NAMES[name]}</span>
    </>
  );
}
