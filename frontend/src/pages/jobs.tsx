import { Images, LayoutGrid, List, Plus, Search } from 'lucide-react';
import { useRef, useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import { useJobs } from '../api/queries';
import type { JobState, JobStatus } from '../api/types';
import { Button, buttonClass } from '../components/button';
import { Dialog } from '../components/dialog';
import { EmptyState, Loading, QueryError } from '../components/feedback';
import { JobRow } from '../components/job_rows';
import { JobTile, TILES, TilesSkeleton } from '../components/job_tile';
import { LoadMore, RowsSkeleton } from '../components/paged_list';
import { PageHeading } from '../components/page';
import { plural } from '../lib/format';
import { titleOf } from '../lib/job_view';
import { JOB_STATE_WORDS, JOB_STATES } from '../lib/names';
import { useListKeys } from '../lib/use_list_keys';
import { useRole } from '../state/session';

const GROUPS: Record<string, JobState[]> = {
  OPEN: ['QUEUED', 'VALIDATING', 'RUNNING'],
  ...Object.fromEntries(JOB_STATES.map((state) => [state, [state]])),
};
const CHIPS: readonly (readonly [string, string])[] = [
  ['', 'All'],
  ['OPEN', 'In progress'],
  ...(['COMPLETED', 'FAILED', 'REJECTED', 'CANCELLED'] as const).map(
    (state) => [state, JOB_STATE_WORDS[state]] as const,
  ),
];
const KEYS = [
  ['/', 'Search the jobs'],
  ['← ↑ → ↓', 'Go from job to job'],
  ['Enter', 'Open the job'],
  ['?', 'Show these keys'],
] as const;

export default function JobsPage() {
  const [address, setAddress] = useSearchParams();
  const { isOperator } = useRole();
  const [isHelpOpen, setIsHelpOpen] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const search = useRef<HTMLInputElement>(null);
  useListKeys({
    list,
    search,
    onHelp: () => {
      setIsHelpOpen(true);
    },
  });
  const [chosen, words, isList] = [address.get('state') ?? '', address.get('q') ?? '', address.get('view') === 'list'];
  const query = useJobs({ states: GROUPS[chosen] ?? [] });
  const loaded = query.data?.pages.flatMap((page) => page.jobs) ?? [];
  const jobs = loaded.filter((job) => isFound(job, words));
  const change = (name: string, value: string): void => {
    setAddress(
      (now) => {
        if (value) now.set(name, value);
        else now.delete(name);
        return now;
      },
      { replace: true },
    );
  };
  const showAll = (
    <Button
      size="sm"
      onClick={() => {
        setAddress(isList ? { view: 'list' } : {}, { replace: true });
      }}
    >
      Show all
    </Button>
  );

  return (
    <>
      <PageHeading
        title="Jobs"
        aside={
          <Link to="/" className={buttonClass('primary')}>
            <Plus aria-hidden className="size-4" />
            New job
          </Link>
        }
      >
        {isOperator ? 'Jobs of all users, newest first.' : 'Your jobs, newest first.'}
      </PageHeading>
      <div className="mb-5 flex flex-wrap items-center gap-x-4 gap-y-3">
        <div role="group" aria-label="State" className="flex flex-wrap gap-1.5">
          {CHIPS.map(([value, word]) => (
            <Chip
              key={value}
              testId={`filter-${value || 'ALL'}`}
              isOn={chosen === value}
              onClick={() => {
                change('state', value);
              }}
            >
              {word}
            </Chip>
          ))}
        </div>
        <div className="flex min-w-0 flex-1 items-center justify-end gap-2 max-sm:basis-full">
          <div className="relative min-w-0 flex-1 sm:max-w-64">
            <Search aria-hidden className="pointer-events-none absolute top-3 left-3 size-4 text-muted" />
            <input
              ref={search}
              type="search"
              data-testid="job-search"
              aria-label="Search by name or scene"
              placeholder="Name or scene"
              className="field pl-9!"
              value={words}
              onChange={(event) => {
                change('q', event.target.value);
              }}
            />
          </div>
          <Button
            data-testid="view-toggle"
            className="px-2.5!"
            aria-label={isList ? 'Show as pictures' : 'Show as a list'}
            title={isList ? 'Show as pictures' : 'Show as a list'}
            icon={isList ? <LayoutGrid aria-hidden className="size-4" /> : <List aria-hidden className="size-4" />}
            onClick={() => {
              change('view', isList ? '' : 'list');
            }}
          />
        </div>
      </div>
      <QueryError query={query} className="mb-4" />
      {query.isPending && (isList ? <RowsSkeleton /> : <Tiles />)}
      {query.data && jobs.length === 0 && <NoJobs isFiltered={chosen !== '' || words !== ''}>{showAll}</NoJobs>}
      {jobs.length > 0 && (
        <ul ref={list} aria-label="Jobs" className={isList ? 'card divide-y divide-line overflow-hidden' : TILES}>
          {jobs.map((job) => (isList ? <JobRow key={job.job_id} job={job} /> : <JobTile key={job.job_id} job={job} />))}
        </ul>
      )}
      {words !== '' && query.hasNextPage && (
        <p className="mt-5 text-center text-sm text-muted">
          Only the newest {plural(loaded.length, 'job')} {loaded.length === 1 ? 'is' : 'are'} searched so far.
        </p>
      )}
      <LoadMore query={query} />
      {isHelpOpen && (
        <KeysHelp
          onClose={() => {
            setIsHelpOpen(false);
          }}
        />
      )}
    </>
  );
}

function isFound(job: JobStatus, words: string): boolean {
  const text = `${titleOf(job)} ${job.prompt}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function Tiles() {
  return (
    <Loading label="Loading">
      <TilesSkeleton />
    </Loading>
  );
}

function NoJobs({ isFiltered, children }: { isFiltered: boolean; children: React.ReactNode }) {
  return (
    <EmptyState
      title={isFiltered ? 'No job is like that' : 'No jobs yet'}
      icon={<Images aria-hidden className="size-8" />}
    >
      {isFiltered ? (
        children
      ) : (
        <>
          Send a photo, or upload one to the container <code>uploads</code>.
        </>
      )}
    </EmptyState>
  );
}

interface ChipProps {
  isOn: boolean;
  testId: string;
  children: string;
  onClick: () => void;
}

function Chip({ isOn, testId, children, onClick }: ChipProps) {
  return (
    <button
      type="button"
      data-testid={testId}
      aria-pressed={isOn}
      onClick={onClick}
      className={`min-h-9 rounded-full border px-3.5 text-sm font-medium transition-colors ${isOn ? 'border-ink bg-ink text-bg' : 'border-line-strong/50 bg-surface text-muted hover:text-ink'}`}
    >
      {children}
    </button>
  );
}

function KeysHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="grid grid-cols-[6rem_1fr] gap-y-2">
        {KEYS.map(([key, what]) => (
          <div key={key} className="col-span-2 grid grid-cols-subgrid">
            <dt>
              <kbd className="rounded-md border border-line-strong/50 bg-sunken px-2 py-0.5 font-mono text-xs">
                {key}
              </kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
