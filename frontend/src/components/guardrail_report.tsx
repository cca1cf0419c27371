import { ShieldCheck, ShieldX } from 'lucide-react';
import { useGuardrailReport } from '../api/queries';
import type { CheckResult } from '../api/types';
import { duration } from '../lib/format';
import { Badge } from './badge';
import { CheckList } from './check_list';
import { Loading, QueryError, Skeleton } from './feedback';
import { Disclosure } from './page';

/** The guardrail's verdict on a photo, with every check. */
export function GuardrailReportCard({ jobId, revision }: { jobId: string; revision: string }) {
  const report = useGuardrailReport(jobId, revision);
  const { data } = report;
  const aside = data && (
    <div className="flex items-center gap-2 text-xs text-muted">
      <span>{duration(data.duration_ms)}</span>
      <Badge tone={data.verdict === 'admitted' ? 'ok' : 'bad'}>
        {data.verdict === 'admitted' ? 'Admitted' : 'Rejected'}
      </Badge>
    </div>
  );
  return (
    <Disclosure title="Guardrail report" summary={aside} isOpen={data?.verdict === 'rejected'}>
      <div data-testid="guardrail-report" data-verdict={data?.verdict ?? ''}>
        {report.isPending && (
          <Loading label="Loading the guardrail's report">
            <Skeleton className="h-32" />
          </Loading>
        )}
        <QueryError query={report} />
        {data === null && <p className="text-sm text-muted">The guardrail has not checked this photo yet.</p>}
        {data && (
          <>
            <p className="mb-2 flex items-start gap-2 text-sm">
              {data.verdict === 'admitted' ? (
                <ShieldCheck aria-hidden className="mt-0.5 size-4 shrink-0 text-ok" />
              ) : (
                <ShieldX aria-hidden className="mt-0.5 size-4 shrink-0 text-bad" />
              )}
              {data.verdict === 'admitted' ? 'The photo passed every check that was made.' : data.message}
            </p>
            <CheckList checks={failedFirst(data.checks)} isWide />
          </>
        )}
      </div>
    </Disclosure>
  );
}

function failedFirst(checks: readonly CheckResult[]): CheckResult[] {
  return [...checks].sort((a, b) => Number(b.passed === false) - Number(a.passed === false));
}
