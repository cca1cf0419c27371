import { Ban, Check, CircleDashed, Clock, LoaderCircle, X } from 'lucide-react';
import type { StageState, StageStatus } from '../api/types';
import { STAGE_NAMES, STAGE_STATE_WORDS, type Tone } from '../lib/names';
import { duration, usd } from '../lib/format';
import { useNow } from '../lib/use_now';
import { waitReason } from '../lib/waiting';
import { Badge } from './badge';
import { ProgressBar } from './feedback';

const TONES: Record<StageState, Tone> = {
  PENDING: 'neutral',
  RUNNING: 'accent',
  WAITING: 'warn',
  SUCCEEDED: 'ok',
  REJECTED: 'bad',
  FAILED: 'bad',
  CANCELLED: 'neutral',
};

/** The stages of a job in a column, each with what it does or waits for. */
export function Stepper({ stages, told }: { stages: readonly StageStatus[]; told?: string | undefined }) {
  return (
    <ol aria-label="Stages">
      {stages.map((stage, index) => (
        <Step key={stage.stage} stage={stage} told={told} isLast={index === stages.length - 1} />
      ))}
    </ol>
  );
}

interface StepProps {
  stage: StageStatus;
  /** A message that the page shows already. */
  told: string | undefined;
  isLast: boolean;
}

function Step({ stage, told, isLast }: StepProps) {
  const isDone = stage.state === 'SUCCEEDED';
  return (
    <li
      data-testid={`step-${stage.stage}`}
      data-state={stage.state}
      aria-current={stage.state === 'RUNNING' || stage.state === 'WAITING' ? 'step' : undefined}
      className="relative flex gap-3.5 pb-6 last:pb-0"
    >
      {!isLast && (
        <span
          aria-hidden
          className={`absolute top-9 bottom-1 left-[0.9375rem] w-0.5 rounded-full ${isDone ? 'bg-ok/50' : 'bg-line'}`}
        />
      )}
      <Marker state={stage.state} />
      <div className="min-w-0 flex-1 pt-1">
        <div className="flex flex-wrap items-baseline justify-between gap-x-3 gap-y-1">
          <p className={`text-sm font-semibold ${stage.state === 'PENDING' ? 'text-muted' : ''}`}>
            {STAGE_NAMES[stage.stage]}
          </p>
          <Elapsed stage={stage} />
        </div>
        <div className="mt-1 flex flex-wrap items-center gap-1.5 text-xs text-muted">
          <Badge tone={TONES[stage.state]}>{STAGE_STATE_WORDS[stage.state]}</Badge>
          {stage.cached && <Badge tone="ok">Cached</Badge>}
          {stage.attempt > 1 && <span>attempt {stage.attempt}</span>}
          {(stage.waited_ms ?? 0) >= 1000 && <span>waited {duration(stage.waited_ms ?? 0)}</span>}
          {Boolean(stage.vram_used_gb) && <span>{stage.vram_used_gb?.toFixed(1)} GB VRAM</span>}
          {stage.cost_usd > 0 && <span className="font-medium text-ink">{usd(stage.cost_usd)}</span>}
        </div>
        <Doing stage={stage} told={told} />
      </div>
    </li>
  );
}

function Doing({ stage, told }: Omit<StepProps, 'isLast'>) {
  const reason = waitReason(stage);
  const { tiles_done: done, tiles_total: total, expected_s: left } = stage;
  const hasTiles = stage.state === 'RUNNING' && typeof done === 'number' && typeof total === 'number' && total > 0;
  const hasFailed = stage.state === 'FAILED' || stage.state === 'REJECTED';
  return (
    <>
      {reason && (
        <p className="mt-2 flex items-start gap-1.5 text-xs font-medium text-warn" data-testid="wait-reason">
          <Clock aria-hidden className="mt-px size-3.5 shrink-0" />
          {reason}
        </p>
      )}
      {hasTiles && (
        <div className="mt-2.5">
          <ProgressBar value={done / total} label="Tiles upscaled" />
          <p className="mt-1 text-xs text-muted">
            {done} of {total} tiles{left !== null && left >= 1 && `, about ${duration(left * 1000)} left`}
          </p>
        </div>
      )}
      {stage.repeat_reason && (
        <p className="mt-1 text-xs break-words text-muted">
          {stage.restarts > 0 ? 'Taken over' : 'Tried again'}: {stage.repeat_reason}
        </p>
      )}
      {hasFailed && stage.error && stage.error.message !== told && (
        <p className="mt-2 text-xs break-words text-bad">{stage.error.message}</p>
      )}
    </>
  );
}

function Elapsed({ stage }: { stage: StageStatus }) {
  const isTicking = stage.state === 'RUNNING' && stage.started_at !== null;
  const now = useNow(100, isTicking);
  const ms = isTicking ? now - new Date(stage.started_at ?? now).getTime() : stage.duration_ms;
  if (ms === null) return null;
  return <span className={`text-sm ${isTicking ? 'text-accent' : 'text-muted'}`}>{duration(Math.max(0, ms))}</span>;
}

function Marker({ state }: { state: StageState }) {
  const base = 'grid size-8 shrink-0 place-items-center rounded-full border-2';
  const icon = 'size-4';
  switch (state) {
    case 'SUCCEEDED':
      return (
        <span aria-hidden className={`${base} border-ok bg-ok-soft text-ok`}>
          <Check className={icon} strokeWidth={3} />
        </span>
      );
    case 'RUNNING':
      return (
        <span aria-hidden className={`${base} border-accent bg-accent-soft text-accent`}>
          <LoaderCircle className={`${icon} animate-spin`} />
        </span>
      );
    case 'WAITING':
      return (
        <span aria-hidden className={`${base} border-warn bg-warn-soft text-warn`}>
          <Clock className={icon} />
        </span>
      );
    case 'FAILED':
    case 'REJECTED':
      return (
        <span aria-hidden className={`${base} border-bad bg-bad-soft text-bad`}>
          <X className={icon} strokeWidth={3} />
        </span>
      );
    case 'CANCELLED':
      return (
        <span aria-hidden className={`${base} border-line bg-sunken text-muted`}>
          <Ban className={icon} />
        </span>
      );
    default:
      return (
        <span aria-hidden className={`${base} border-line bg-surface text-muted`}>
          <CircleDashed className={icon} />
        </span>
      );
  }
}
