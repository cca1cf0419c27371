import { ArrowRight, RotateCw, X } from 'lucide-react';
import { Link } from 'react-router';
import { bytes } from '../lib/format';
import type { Tone } from '../lib/names';
import { type Upload, uploads, type UploadState } from '../state/uploads';
import { Badge } from './badge';
import { Button, buttonClass } from './button';
import { ProblemCard, ProgressBar } from './feedback';
import { Picture } from './picture';

const WORDS: Record<UploadState, string> = {
  queued: 'Queued',
  uploading: 'Uploading',
  checking: 'Guardrail is checking',
  retrying: 'Connection lost, sending again',
  accepted: 'Accepted',
  rejected: 'Rejected',
  failed: 'Not sent',
};
const TONES: Record<UploadState, Tone> = {
  queued: 'neutral',
  uploading: 'accent',
  checking: 'accent',
  retrying: 'warn',
  accepted: 'ok',
  rejected: 'bad',
  failed: 'bad',
};

export function UploadList({ items }: { items: readonly Upload[] }) {
  return (
    <ul className="divide-y divide-line" aria-live="polite">
      {items.map((item) => (
        <UploadItem key={item.id} item={item} />
      ))}
    </ul>
  );
}

function UploadItem({ item }: { item: Upload }) {
  const isMoving = item.state === 'uploading' || item.state === 'retrying' || item.state === 'checking';
  return (
    <li data-testid="upload-item" data-state={item.state} className="py-3 first:pt-0 last:pb-0">
      <div className="flex items-center gap-3">
        <Picture src={item.previewUrl} alt={item.file.name} className="size-12 shrink-0" />
        <div className="min-w-0 flex-1">
          <p className="truncate text-sm font-medium">{item.file.name}</p>
          <div className="mt-0.5 flex flex-wrap items-center gap-2 text-xs text-muted">
            <Badge tone={TONES[item.state]}>{WORDS[item.state]}</Badge>
            <span>{bytes(item.file.size)}</span>
            {item.attempt > 1 && <span>attempt {item.attempt}</span>}
          </div>
        </div>
        {item.jobId && (
          <Link to={`/jobs/${item.jobId}`} className={buttonClass('secondary', 'sm')}>
            Follow <ArrowRight aria-hidden className="size-3.5" />
          </Link>
        )}
        <Button
          size="sm"
          kind="quiet"
          className="px-2!"
          aria-label={item.jobId ? `Remove ${item.file.name} from this list` : `Stop sending ${item.file.name}`}
          icon={<X aria-hidden className="size-4" />}
          onClick={() => {
            uploads.remove(item.id);
          }}
        />
      </div>
      {isMoving && (
        <div className="mt-2">
          <ProgressBar value={item.progress} label={`Upload of ${item.file.name}`} />
        </div>
      )}
      {item.problem && (
        <div className="mt-3">
          <ProblemCard problem={item.problem} requestId={item.requestId}>
            {item.state === 'failed' && (
              <Button
                size="sm"
                icon={<RotateCw aria-hidden className="size-3.5" />}
                onClick={() => {
                  uploads.again(item.id);
                }}
              >
                Send again
              </Button>
            )}
          </ProblemCard>
        </div>
      )}
    </li>
  );
}
