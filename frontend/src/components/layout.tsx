import { Activity, FileText, Images, Layers, LogOut, Moon, Plus, Settings2, Sun } from 'lucide-react';
import { Suspense } from 'react';
import { Link, NavLink, Outlet, useLocation } from 'react-router';
import type { CallerInfo } from '../api/types';
import { ROLE_NAMES } from '../lib/names';
import { usd } from '../lib/format';
import { useSimulated } from '../lib/use_simulated';
import { useSignOut } from '../state/session';
import { chooseTheme, useTheme } from '../state/theme';
import { Button } from './button';
import { ErrorBoundary } from './error_boundary';
import { Loading, Skeleton } from './feedback';
import { Logo } from './logo';

const VIEWS = [
  { to: '/', label: 'New job', icon: Plus },
  { to: '/jobs', label: 'Jobs', icon: Images },
  { to: '/batches', label: 'Batches', icon: Layers },
  { to: '/logs', label: 'Logs', icon: FileText },
  { to: '/metrics', label: 'Metrics', icon: Activity },
  { to: '/operations', label: 'Operations', icon: Settings2 },
];

export function Layout({ me }: { me: CallerInfo }) {
  const { pathname } = useLocation();
  return (
    <div className="flex min-h-dvh flex-col">
      <a
        href="#main"
        className="sr-only z-50 rounded-lg bg-accent px-4 py-2 text-sm font-medium text-on-accent focus:not-sr-only focus:fixed focus:top-3 focus:left-3"
      >
        Skip to content
      </a>
      <header className="sticky top-0 z-30 border-b border-line bg-bg/95 backdrop-blur">
        <div className="mx-auto flex h-14 max-w-7xl items-center gap-4 px-4 sm:px-6">
          <NavLink to="/" aria-label="Imagery pipeline, new job" className="flex items-center gap-2.5 font-semibold">
            <Logo />
            <span aria-hidden className="hidden xl:inline">
              Imagery pipeline
            </span>
          </NavLink>
          <DesktopNavigation />
          <Simulated />
          <div className="ml-auto flex items-center gap-1 sm:gap-2">
            <SpendToday me={me} />
            <ThemeToggle />
            <Account me={me} />
          </div>
        </div>
      </header>
      {/* as high as the window: the footer stays below it while a page loads, and does not jump */}
      <main
        id="main"
        tabIndex={-1}
        className="mx-auto min-h-dvh w-full max-w-7xl px-4 py-6 outline-none sm:px-6 sm:py-8"
      >
        <ErrorBoundary key={pathname}>
          <Suspense fallback={<PageSkeleton />}>
            <Outlet />
          </Suspense>
        </ErrorBoundary>
      </main>
      <footer className="mx-auto w-full max-w-7xl px-4 pb-20 text-xs sm:px-6 lg:pb-6">
        <Link to="/verify" className="text-muted underline underline-offset-2">
          Check where a file comes from
        </Link>
      </footer>
      <PhoneNavigation />
    </div>
  );
}

/** Says in every view that the pictures are no real ones and that no money is spent, while that is so. */
function Simulated() {
  if (!useSimulated()) return null;
  return (
    <>
      <div aria-hidden className="absolute inset-x-0 top-0 h-1 bg-sign" />
      <p
        data-testid="simulated"
        title="A simulator answers for the image model: its pictures are no real ones, and no money is spent."
        className="rounded-full bg-sign px-3 py-1 text-xs font-semibold whitespace-nowrap text-on-sign"
      >
        Simulated<span className="max-sm:sr-only">: no money is spent</span>
      </p>
    </>
  );
}

function DesktopNavigation() {
  return (
    <nav aria-label="Main" className="hidden items-center gap-0.5 lg:flex">
      {VIEWS.map(({ to, label }) => (
        <NavLink
          key={to}
          to={to}
          end={to === '/'}
          className={({ isActive }) =>
            `rounded-lg px-3 py-1.5 text-sm font-medium transition-colors ${isActive ? 'bg-accent-soft text-accent' : 'text-muted hover:bg-sunken hover:text-ink'}`
          }
        >
          {label}
        </NavLink>
      ))}
    </nav>
  );
}

function PhoneNavigation() {
  return (
    <nav
      aria-label="Main"
      className="fixed inset-x-0 bottom-0 z-30 grid grid-cols-6 border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] lg:hidden"
    >
      {VIEWS.map(({ to, label, icon: Icon }) => (
        <NavLink
          key={to}
          to={to}
          end={to === '/'}
          className={({ isActive }) =>
            `flex min-h-14 flex-col items-center justify-center gap-1 text-[0.6875rem] font-medium ${isActive ? 'text-accent' : 'text-muted'}`
          }
        >
          <Icon aria-hidden className="size-5" />
          {label}
        </NavLink>
      ))}
    </nav>
  );
}

function SpendToday({ me }: { me: CallerInfo }) {
  if (!me.usage) return null;
  const { usd_today: spent, usd_per_day: quota } = me.usage;
  const share = quota > 0 ? Math.min(spent / quota, 1) : 0;
  return (
    <div className="flex flex-col items-end px-1 text-xs" title="Spent today, with what open jobs may still cost">
      <p>
        <span className="sr-only">Spent today: </span>
        <span className="font-semibold">{usd(spent)}</span>
        <span className="text-muted"> of {usd(quota)}</span>
      </p>
      <div aria-hidden className="mt-1 h-1 w-full overflow-hidden rounded-full bg-sunken">
        <div
          className={`h-full rounded-full ${share >= 0.9 ? 'bg-warn' : 'bg-accent'}`}
          style={{ width: `${String(share * 100)}%` }}
        />
      </div>
    </div>
  );
}

function ThemeToggle() {
  const theme = useTheme();
  const next = theme === 'dark' ? 'light' : 'dark';
  return (
    <Button
      kind="quiet"
      data-testid="theme-toggle"
      className="px-2.5!"
      aria-label={`Switch to the ${next} theme`}
      onClick={() => {
        chooseTheme(next);
      }}
      icon={theme === 'dark' ? <Sun aria-hidden className="size-4.5" /> : <Moon aria-hidden className="size-4.5" />}
    />
  );
}

function Account({ me }: { me: CallerInfo }) {
  const signOut = useSignOut();
  return (
    <div className="flex items-center gap-1 sm:gap-2">
      <p className="hidden text-right text-xs leading-tight sm:block" data-testid="account">
        <span className="block max-w-36 truncate font-semibold">{me.name}</span>
        <span className="text-muted">{ROLE_NAMES[me.role]}</span>
      </p>
      <Button
        kind="quiet"
        data-testid="sign-out"
        className="px-2.5!"
        aria-label={`Sign out ${me.name}`}
        title="Sign out"
        disabled={signOut.isPending}
        onClick={() => {
          signOut.mutate();
        }}
        icon={<LogOut aria-hidden className="size-4.5" />}
      />
    </div>
  );
}

export function PageSkeleton() {
  return (
    <Loading label="Loading">
      <Skeleton className="mb-6 h-8 w-48" />
      <Skeleton className="h-72 w-full rounded-2xl!" />
    </Loading>
  );
}
