import { useState } from 'react';
import { Link } from 'react-router';
import { useResolvePayment, useSpend } from '../api/queries';
import type { SpendReport, SpendSums, UnknownPayment } from '../api/types';
import { dayAndClock, shortId, usd } from '../lib/format';
import { ActionButton } from './action_button';
import { Badge } from './badge';
import { ErrorCard, QueryError, Rows } from './feedback';
import { Section } from './page';

/** What was paid by day and by user, today's budget, and the payments that an operator has to settle. */
export function SpendPanels({ isOperator }: { isOperator: boolean }) {
  const [days, setDays] = useState(30);
  const spend = useSpend(days);
  const { data } = spend;
  if (!data) {
    return (
      <Section title="Spend" className="lg:col-span-2">
        {spend.isError ? <QueryError query={spend} /> : <Rows />}
      </Section>
    );
  }
  return (
    <>
      <Today spend={data} />
      <Unknown payments={data.unknown} isOperator={isOperator} />
      <Section
        title="Spend by day"
        aside={
          <label className="flex items-center gap-2 text-xs text-muted">
            Days
            <select
              className="field w-auto! min-h-8! py-1!"
              value={days}
              onChange={(event) => {
                setDays(Number(event.target.value));
              }}
            >
              {[7, 30, 90].map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        }
      >
        <SumsTable rows={data.days} head="Day" />
      </Section>
      <Section title={isOperator ? 'Spend by user' : 'Your spend'}>
        <SumsTable rows={data.users} head="User" />
      </Section>
      <Section title="Spend by model" className="lg:col-span-2">
        <SumsTable rows={data.models.map(byModel)} head="Model" />
      </Section>
    </>
  );
}

function byModel({ model, size, provider, ...sums }: SpendReport['models'][number]): SpendSums {
  return { ...sums, name: [model || 'Earlier versions', size, provider].filter(Boolean).join(' · ') };
}

function Today({ spend }: { spend: SpendReport }) {
  const { today } = spend;
  const share = today.budget_usd > 0 ? Math.min(today.committed_usd / today.budget_usd, 1) : 0;
  return (
    <Section title="Budget for today" aside={<span className="text-xs text-muted">{today.day}, UTC</span>}>
      <p className="text-2xl font-semibold tracking-tight">
        {usd(today.committed_usd)} <span className="text-base font-normal text-muted">of {usd(today.budget_usd)}</span>
      </p>
      <div aria-hidden className="mt-3 h-2 overflow-hidden rounded-full bg-sunken">
        <div
          className={`h-full rounded-full ${share >= 0.9 ? 'bg-warn' : 'bg-accent'}`}
          style={{ width: `${String(share * 100)}%` }}
        />
      </div>
      <p className="mt-2 text-xs text-muted">
        {usd(today.remaining_usd)} left; a picture costs {usd(spend.price_usd)}. Paid, reserved, running and unknown
        payments count.
      </p>
    </Section>
  );
}

function Unknown({ payments, isOperator }: { payments: readonly UnknownPayment[]; isOperator: boolean }) {
  const resolve = useResolvePayment();
  return (
    <Section title="Unknown payments" aside={payments.length > 0 && <Badge tone="warn">{payments.length}</Badge>}>
      {payments.length === 0 && <p className="text-sm text-muted">None. Every paid call is accounted for.</p>}
      {payments.length > 0 && (
        <p className="text-xs text-muted">
          The response to these calls was lost. Check the provider’s bill, then choose whether they were charged.
        </p>
      )}
      {resolve.error && (
        <div className="mt-3">
          <ErrorCard error={resolve.error} />
        </div>
      )}
      <ul className="divide-y divide-line text-sm">
        {payments.map((payment) => (
          <li
            key={`${payment.job_id}/${String(payment.run)}`}
            data-testid="unknown-payment"
            data-job-id={payment.job_id}
            className="flex flex-wrap items-center justify-between gap-3 py-3"
          >
            <div className="min-w-0 flex-1 basis-48">
              <p className="font-medium">
                <Link className="text-accent underline underline-offset-2" to={`/jobs/${payment.job_id}`}>
                  Job {shortId(payment.job_id)}
                </Link>{' '}
                {usd(payment.usd)}
              </p>
              <p className="text-xs text-muted">
                {payment.sent_at ? `sent ${dayAndClock(payment.sent_at)}` : 'the time it was sent is unknown'}
                {payment.note && <> · {payment.note}</>}
              </p>
            </div>
            {isOperator && (
              <div className="flex gap-2">
                <ActionButton
                  action={resolve}
                  variables={{ jobId: payment.job_id, charged: true }}
                  size="sm"
                  data-testid="resolve-charged"
                >
                  Charged
                </ActionButton>
                <ActionButton
                  action={resolve}
                  variables={{ jobId: payment.job_id, charged: false }}
                  size="sm"
                  data-testid="resolve-not-charged"
                >
                  Not charged
                </ActionButton>
              </div>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function SumsTable({ rows, head }: { rows: readonly SpendSums[]; head: string }) {
  if (rows.length === 0) return <p className="text-sm text-muted">Nothing was spent in these days.</p>;
  return (
    // a table that is too wide for a phone scrolls on its own, by keyboard too
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="overflow-x-auto" role="region" aria-label={`${head}s and what was spent`} tabIndex={0}>
      <table className="w-full text-sm">
        <thead className="text-left text-xs text-muted">
          <tr>
            <th className="pb-1.5 font-medium">{head}</th>
            {['Pictures', 'Paid', 'Open', 'Unknown'].map((name) => (
              <th key={name} className="pb-1.5 pl-3 text-right font-medium">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name} className="border-t border-line">
              <th scope="row" className="max-w-40 truncate py-1.5 text-left font-medium">
                {row.name}
              </th>
              <td className="pl-3 text-right">{row.pictures}</td>
              <td className="pl-3 text-right">{usd(row.settled_usd)}</td>
              <td className="pl-3 text-right">{usd(row.open_usd)}</td>
              <td className={`pl-3 text-right ${row.unknown_usd > 0 ? 'font-semibold text-warn' : ''}`}>
                {usd(row.unknown_usd)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
