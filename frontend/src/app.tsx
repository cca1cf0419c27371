import { Suspense } from 'react';
import { Route, Routes } from 'react-router';
import { ErrorBoundary } from './components/error_boundary';
import { QueryError } from './components/feedback';
import { Layout, PageSkeleton } from './components/layout';
import { OfflineBanner } from './components/offline_banner';
import { NewJobPage } from './pages/new_job';
import { NotFoundPage } from './pages/not_found';
import { SignInPage } from './pages/sign_in';
import { loadPart } from './lib/load_part';
import { useMe } from './state/session';

const JobPage = loadPart(() => import('./pages/job'));
const JobsPage = loadPart(() => import('./pages/jobs'));
const BatchesPage = loadPart(() => import('./pages/batches'));
const BatchPage = loadPart(() => import('./pages/batch'));
const LogsPage = loadPart(() => import('./pages/logs'));
const MetricsPage = loadPart(() => import('./pages/metrics'));
const VerifyPage = loadPart(() => import('./pages/verify'));
const OperationsPage = loadPart(() => import('./pages/operations'));

export function App({ signInFailure }: { signInFailure?: unknown }) {
  return (
    <>
      <OfflineBanner />
      <ErrorBoundary>
        <Views signInFailure={signInFailure} />
      </ErrorBoundary>
    </>
  );
}

function Views({ signInFailure }: { signInFailure?: unknown }) {
  const me = useMe();
  if (me.data === null) return <SignInPage failure={signInFailure} />;
  if (me.data === undefined) {
    return (
      <main className="mx-auto max-w-7xl px-6 py-10">{me.isError ? <QueryError query={me} /> : <PageSkeleton />}</main>
    );
  }
  return (
    <Suspense fallback={null}>
      <Routes>
        <Route element={<Layout me={me.data} />}>
          <Route index element={<NewJobPage />} />
          <Route path="jobs" element={<JobsPage />} />
          <Route path="jobs/:jobId" element={<JobPage />} />
          <Route path="batches" element={<BatchesPage />} />
          <Route path="batches/:batchId" element={<BatchPage />} />
          <Route path="logs" element={<LogsPage />} />
          <Route path="metrics" element={<MetricsPage />} />
          <Route path="operations" element={<OperationsPage />} />
          <Route path="verify" element={<VerifyPage />} />
          <Route path="*" element={<NotFoundPage />} />
        </Route>
      </Routes>
    </Suspense>
  );
}
