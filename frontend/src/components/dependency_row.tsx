import type { DependencyHealth } from '../api/types';
import { duration } from '../lib/format';
import { DEPENDENCY_NAMES, HEALTH_TONES, HEALTH_WORDS, humanize } from '../lib/names';
import { Badge } from './badge';

/** One dependency of the health report; of the GPU service also what it last said, and how long ago. */
export function DependencyRow({ name, health }: { name: string; health: DependencyHealth }) {
  return (
    <li data-dependency={name} data-state={health.state} className="flex items-start justify-between gap-4 py-2.5">
      <div className="min-w-0">
        <p className="font-medium">{DEPENDENCY_NAMES[name] ?? humanize(name)}</p>
        {health.reason && <p className="text-xs break-words text-muted">{health.reason}</p>}
        {health.reading && <Reading reading={health.reading} />}
      </div>
      <div className="flex shrink-0 items-center gap-2">
        {typeof health.duration_ms === 'number' && (
          <span className="text-xs text-muted">{duration(health.duration_ms)}</span>
        )}
        <Badge tone={HEALTH_TONES[health.state]}>{HEALTH_WORDS[health.state]}</Badge>
      </div>
    </li>
  );
}

function Reading({ reading }: { reading: NonNullable<DependencyHealth['reading']> }) {
  const { device, vram_used_gb, vram_peak_gb } = reading.health;
  return (
    <p className="text-xs text-muted" data-testid="gpu-reading">
      {duration(reading.age_s * 1000)} ago: {device}, {vram_used_gb.toFixed(1)} GB VRAM in use, peak{' '}
      {vram_peak_gb.toFixed(1)} GB
    </p>
  );
}
