import { ArrowRight, Sparkles, Trash2, X } from 'lucide-react';
import { useCallback, useEffect, useState } from 'react';
import { Link, useNavigate } from 'react-router';
import type { AspectRatio, ImageSize, ThinkingLevel } from '../api/types';
import type { JobOptions } from '../api/upload';
import { useJobs, useLimits } from '../api/queries';
import { NetworkError } from '../api/errors';
import { Button, buttonClass } from '../components/button';
import { Dropzone } from '../components/dropzone';
import { ErrorCard } from '../components/feedback';
import { PageHeading, Section } from '../components/page';
import { Preview } from '../components/preview';
import { JobTile, TILES, TilesSkeleton } from '../components/job_tile';
import { StartButton } from '../components/start_button';
import { UploadList } from '../components/upload_list';
import { bytes, plural } from '../lib/format';
import { photoProblem } from '../lib/photo_limits';
import type { Size } from '../lib/viewport';
import { draft, useDraft } from '../state/draft';
import { humanize } from '../lib/names';
import { uploads, useUploads } from '../state/uploads';

// until the API has said what the image model makes
const RATIOS: readonly AspectRatio[] = ['1:1', '4:3', '3:2', '16:9', '21:9', '5:4', '4:5', '3:4', '2:3', '9:16'];
const SIZES: Record<ImageSize, string> = { '1K': '1K, 1024 px', '2K': '2K, 2048 px', '4K': '4K, 4096 px' };
const MOST_FILES = 100;
const SAMPLE = '/samples/coffee.jpg';
const SCENES = [
  ['Marble', 'On a marble counter, in morning light'],
  ['Oak', 'On a light oak table, in soft daylight'],
  ['Linen', 'On white linen, with soft shadows'],
  ['Studio', 'On a plain white studio background, with a soft contact shadow'],
  ['Outdoors', 'On a stone wall outdoors, in evening light'],
] as const;
const DEFAULT_SCENE = 'If left empty: on a light oak table, in soft daylight.';

export function NewJobPage() {
  const limits = useLimits().data;
  const navigate = useNavigate();
  const sent = useUploads();
  const { files: chosen, options } = useDraft();
  const [sizes, setSizes] = useState<ReadonlyMap<File, Size>>(new Map());
  const [sampleError, setSampleError] = useState<unknown>(null);
  const [followed, setFollowed] = useState<string | null>(null);

  const addFiles = useCallback((more: File[]) => {
    draft.setFiles((now) => [...now, ...more]);
  }, []);
  const files = chosen.slice(0, MOST_FILES);
  const problem = (file: File): string | null => photoProblem(file, sizes.get(file), limits);
  const good = files.filter((file) => problem(file) === null);
  const leftOut = chosen.length - files.length;
  const followedJob = sent.find((item) => item.id === followed)?.jobId;
  useEffect(() => {
    if (followedJob) void navigate(`/jobs/${followedJob}`);
  }, [followedJob, navigate]);

  const submit = (): void => {
    const ids = uploads.add(good, options);
    // what can't be sent stays, with the reason
    draft.setFiles((now) => now.filter((file) => !good.includes(file)));
    // one photo: open its job; several are followed on this page
    setFollowed(ids.length === 1 ? (ids[0] ?? null) : null);
  };
  const takeSample = async (): Promise<void> => {
    setSampleError(null);
    try {
      const response = await fetch(SAMPLE);
      if (!response.ok) throw new Error('The sample picture is missing.');
      addFiles([new File([await response.blob()], 'coffee.jpg', { type: 'image/jpeg' })]);
    } catch (error) {
      setSampleError(error instanceof TypeError ? new NetworkError() : error);
    }
  };

  return (
    <>
      <PageHeading title="New job">
        Each photo is checked, cut out, upscaled and placed in the scene you describe.
      </PageHeading>
      <div className="grid items-start gap-6 lg:grid-cols-[1fr_22rem]">
        <div className="flex min-w-0 flex-col gap-5">
          <Dropzone limits={limits} onFiles={addFiles} />
          <div className="flex flex-wrap items-center gap-3 text-sm text-muted">
            <span>No photo to hand?</span>
            <Button
              size="sm"
              data-testid="use-sample"
              icon={<Sparkles aria-hidden className="size-3.5" />}
              onClick={() => void takeSample()}
            >
              Use the sample
            </Button>
          </div>
          {Boolean(sampleError) && <ErrorCard error={sampleError} onRetry={() => void takeSample()} />}
          {leftOut > 0 && (
            <p role="alert" className="rounded-xl bg-warn-soft p-3 text-sm text-warn">
              {plural(leftOut, 'photo')} left out: this page sends at most {MOST_FILES} at a time. Batches of the API
              take more.
            </p>
          )}
          <Chosen
            files={files}
            problem={problem}
            onSize={(file, size) => {
              setSizes((now) => new Map(now).set(file, size));
            }}
            onRemove={(index) => {
              draft.setFiles((now) => now.filter((_, at) => at !== index));
            }}
          />
          {sent.length > 0 && (
            <Section
              title="Sent from this page"
              aside={
                <div className="flex gap-2">
                  <Link to="/jobs" className={buttonClass('quiet', 'sm')}>
                    All jobs <ArrowRight aria-hidden className="size-3.5" />
                  </Link>
                  <Button
                    size="sm"
                    kind="quiet"
                    icon={<Trash2 aria-hidden className="size-3.5" />}
                    onClick={() => {
                      uploads.clear();
                    }}
                  >
                    Clear
                  </Button>
                </div>
              }
            >
              <UploadList items={sent} />
            </Section>
          )}
          {files.length === 0 && sent.length === 0 && <Newest />}
        </div>
        <Scene
          options={options}
          onChange={(next) => {
            draft.setOptions(next);
          }}
          maxPrompt={limits?.max_prompt_chars}
          ratios={limits?.aspect_ratios ?? RATIOS}
          levels={limits?.thinking_levels ?? []}
          count={good.length}
          onSubmit={submit}
        />
      </div>
    </>
  );
}

/** The newest pictures: what comes of a photo. */
function Newest() {
  const query = useJobs({ states: ['COMPLETED'], limit: 4 });
  const jobs = query.data?.pages[0]?.jobs ?? [];
  if (query.isError || (query.data && jobs.length === 0)) return null;
  return (
    <section aria-label="Newest pictures" className="mt-4 max-lg:hidden">
      <h2 className="mb-3 text-base font-semibold">Newest pictures</h2>
      {jobs.length === 0 ? (
        <TilesSkeleton count={4} />
      ) : (
        <ul className={TILES}>
          {jobs.map((job) => (
            <JobTile key={job.job_id} job={job} />
          ))}
        </ul>
      )}
    </section>
  );
}

interface ChosenProps {
  files: readonly File[];
  problem: (file: File) => string | null;
  onSize: (file: File, size: Size) => void;
  onRemove: (index: number) => void;
}

function Chosen({ files, problem, onSize, onRemove }: ChosenProps) {
  if (files.length === 0) return null;
  return (
    <ul aria-label="Chosen photos" aria-live="polite" className="grid grid-cols-2 gap-3 sm:grid-cols-3 xl:grid-cols-4">
      {files.map((file, index) => (
        <li
          key={`${file.name}-${String(index)}`}
          data-testid="chosen"
          className={`card relative overflow-hidden rounded-xl! ${problem(file) ? 'border-bad!' : ''}`}
        >
          <Preview
            file={file}
            className="aspect-4/3 border-b border-line"
            onSize={(size) => {
              onSize(file, size);
            }}
          />
          <div className="flex items-center gap-1 p-2 pl-3">
            <div className="min-w-0 flex-1">
              <p className="truncate text-xs font-medium">{file.name}</p>
              <p className="text-xs text-muted">{bytes(file.size)}</p>
            </div>
            <Button
              size="sm"
              kind="quiet"
              aria-label={`Remove ${file.name}`}
              className="px-2!"
              icon={<X aria-hidden className="size-4" />}
              onClick={() => {
                onRemove(index);
              }}
            />
          </div>
          {problem(file) && <p className="px-3 pb-3 text-xs text-bad">{problem(file)}</p>}
        </li>
      ))}
    </ul>
  );
}

interface SceneProps {
  options: JobOptions;
  onChange: (options: JobOptions) => void;
  maxPrompt: number | undefined;
  ratios: readonly AspectRatio[];
  levels: readonly ThinkingLevel[];
  count: number;
  onSubmit: () => void;
}

function Scene({ options, onChange, maxPrompt, ratios, levels, count, onSubmit }: SceneProps) {
  return (
    <form
      className="card flex flex-col gap-4 p-5 lg:sticky lg:top-20"
      aria-label="Scene"
      onSubmit={(event) => {
        event.preventDefault();
        if (count > 0) onSubmit();
      }}
    >
      <div>
        <label htmlFor="prompt" className="mb-1.5 block text-sm font-medium">
          Scene
        </label>
        <textarea
          id="prompt"
          data-testid="prompt"
          rows={4}
          maxLength={maxPrompt}
          placeholder="On a marble counter, in morning light"
          aria-describedby="prompt-hint"
          className="field resize-y"
          value={options.prompt}
          onChange={(event) => {
            onChange({ ...options, prompt: event.target.value });
          }}
        />
        <div role="group" aria-label="Scenes to start from" className="mt-2 flex flex-wrap gap-1.5">
          {SCENES.map(([name, prompt]) => (
            <button
              key={name}
              type="button"
              aria-pressed={options.prompt === prompt}
              onClick={() => {
                onChange({ ...options, prompt });
              }}
              className={`min-h-8 rounded-full border px-3 text-xs font-medium ${options.prompt === prompt ? 'border-ink bg-ink text-bg' : 'border-line-strong/50 text-muted hover:text-ink'}`}
            >
              {name}
            </button>
          ))}
        </div>
        <p id="prompt-hint" className="mt-2 flex justify-between gap-3 text-xs text-muted">
          <span>{DEFAULT_SCENE}</span>
          {maxPrompt !== undefined && options.prompt.length > 0 && (
            <span>
              {options.prompt.length}/{maxPrompt}
            </span>
          )}
        </p>
      </div>
      <div className="grid grid-cols-2 gap-3">
        <div>
          <label htmlFor="aspect-ratio" className="mb-1.5 block text-sm font-medium">
            Aspect ratio
          </label>
          <select
            id="aspect-ratio"
            data-testid="aspect-ratio"
            className="field"
            value={options.aspectRatio}
            onChange={(event) => {
              onChange({ ...options, aspectRatio: event.target.value as AspectRatio });
            }}
          >
            {ratios.map((ratio) => (
              <option key={ratio}>{ratio}</option>
            ))}
          </select>
        </div>
        <div>
          <label htmlFor="image-size" className="mb-1.5 block text-sm font-medium">
            Image size
          </label>
          <select
            id="image-size"
            data-testid="image-size"
            className="field"
            value={options.imageSize}
            onChange={(event) => {
              onChange({ ...options, imageSize: event.target.value as ImageSize });
            }}
          >
            {Object.entries(SIZES).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </div>
      </div>
      {levels.length > 0 && (
        <div>
          <label htmlFor="thinking-level" className="mb-1.5 block text-sm font-medium">
            Thinking
          </label>
          <select
            id="thinking-level"
            data-testid="thinking-level"
            className="field"
            value={options.thinkingLevel ?? ''}
            onChange={(event) => {
              const level = levels.find((each) => each === event.target.value);
              onChange({ ...options, thinkingLevel: level });
            }}
          >
            <option value="">As the model decides</option>
            {levels.map((level) => (
              <option key={level} value={level}>
                {humanize(level)}
              </option>
            ))}
          </select>
        </div>
      )}
      <div className="flex items-start gap-2.5 text-sm">
        <input
          id="fresh"
          type="checkbox"
          aria-describedby="fresh-hint"
          data-testid="fresh"
          className="mt-0.5 size-4 accent-accent"
          checked={options.fresh}
          onChange={(event) => {
            onChange({ ...options, fresh: event.target.checked });
          }}
        />
        <div>
          <label htmlFor="fresh" className="font-medium">
            Compute again
          </label>
          <p id="fresh-hint" className="text-xs text-muted">
            Otherwise, a photo that was sent before with the same scene costs nothing.
          </p>
        </div>
      </div>
      <StartButton options={options} count={count} />
    </form>
  );
}
