import type { DependencyHealth } from '../api/types';
import { ago, duration } from '../lib/format';
import { DEPENDENCY_NAMES, HEALTH_TONES, HEALTH_WORDS, humanize } from '../lib/names';
import { Badge } from './badge';

/** One dependency of the health report; of the GPU service also what it last said, and how long ago. */
export function DependencyRow({ name, health }: { name: string; health: DependencyHealth }) {
  const { reading, state } = health;
  // of the GPU service the time is that of a look into the database: it is not asked
  const isAsked = !reading && state !== 'unknown';
  const isWell = state === 'ok' || state === 'idle';
  return (
    <li data-dependency={name} data-state={state} className="flex items-start justify-between gap-4 py-2.5">
      <div className="min-w-0">
        <p className="font-medium">{DEPENDENCY_NAMES[name] ?? humanize(name)}</p>
        {health.reason && !(reading && isWell) && <p className="text-xs break-words text-muted">{health.reason}</p>}
        {reading && <Reading reading={reading} isIdle={state === 'idle'} />}
      </div>
      <div className="flex shrink-0 items-center gap-2">
        {isAsked && typeof health.duration_ms === 'number' && (
          <span className="text-xs text-muted">{duration(health.duration_ms)}</span>
        )}
        <Badge tone={HEALTH_TONES[state]}>{HEALTH_WORDS[state]}</Badge>
      </div>
    </li>
  );
}

interface ReadingProps {
  reading: NonNullable<DependencyHealth['reading']>;
  isIdle: boolean;
}

function Reading({ reading, isIdle }: ReadingProps) {
  const { device, vram_used_gb, vram_peak_gb } = reading.health;
  const memory = `${vram_used_gb.toFixed(1)} GB VRAM in use, peak ${vram_peak_gb.toFixed(1)} GB`;
  return (
    <p className="text-xs text-muted" data-testid="gpu-reading">
      Last answered {ago(reading.age_s * 1000)}
      {isIdle ? '. It sleeps until a job needs it.' : ` on ${device}${vram_peak_gb > 0 ? `: ${memory}` : ''}.`}
    </p>
  );
}
