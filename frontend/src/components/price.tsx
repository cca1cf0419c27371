import { useQuote } from '../api/queries';
import type { JobOptions } from '../api/upload';
import { usd } from '../lib/format';

/** What is about to be spent. Without the API's price it says nothing: the API refuses what is too much. */
export function Price({ options, count }: { options: JobOptions; count: number }) {
  const quote = useQuote(options, count).data;
  const tone = count > 0 && quote && !quote.fits ? 'text-warn' : 'text-muted';
  return (
    <p id="price" role="status" data-testid="price" className={`-mt-2 min-h-4 text-center text-xs ${tone}`}>
      {count === 0 && 'Choose a photo first.'}
      {count > 0 &&
        quote &&
        (quote.fits
          ? `Up to ${usd(quote.total_usd)}; ${usd(quote.remaining_usd)} left today`
          : `Up to ${usd(quote.total_usd)}, and only ${usd(quote.remaining_usd)} left today: not all will start`)}
    </p>
  );
}
