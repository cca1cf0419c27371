import { ImageUp } from 'lucide-react';
import { useQuote } from '../api/queries';
import type { JobOptions } from '../api/upload';
import { plural, usd } from '../lib/format';
import { Button } from './button';

/** Sends the photos; says what that costs at most, and what is left of today's money. */
export function StartButton({ options, count }: { options: JobOptions; count: number }) {
  // without the API's price it names none: the API refuses what is too much
  const quote = useQuote(options, count).data;
  const priced = count > 0 ? quote : undefined;
  return (
    <div className="flex flex-col gap-2">
      <Button
        kind="primary"
        type="submit"
        data-testid="submit"
        className="min-h-14!"
        disabled={count === 0}
        aria-describedby="price"
        icon={<ImageUp aria-hidden className="size-5" />}
      >
        <span className="flex flex-col items-start leading-tight">
          <span>
            {count > 1 ? `Start ${plural(count, 'job')}` : 'Start job'}
            {priced && `, up to ${usd(priced.total_usd)}`}
          </span>
          {priced && (
            <span className="text-xs font-normal">
              <span className="sr-only">; </span>
              {usd(priced.remaining_usd)} left today
            </span>
          )}
        </span>
      </Button>
      <p id="price" role="status" data-testid="price" className="min-h-4 text-center text-xs text-muted">
        {count === 0 && 'Choose a photo first.'}
        {priced && !priced.fits && <span className="text-warn">The money left is not enough: not all will start.</span>}
      </p>
    </div>
  );
}
