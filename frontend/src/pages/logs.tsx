import { ArrowDownToLine, Pause, Play } from 'lucide-react';
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';
import { useSearchParams } from 'react-router';
import { STAGE_NAMES, STAGES, type Tone } from '../lib/names';
import { Badge } from '../components/badge';
import { Button } from '../components/button';
import { Loading, Skeleton } from '../components/feedback';
import { LogRow } from '../components/log_table';
import { PageHeading } from '../components/page';
import { plural } from '../lib/format';
import type { LogFilter } from '../state/log_stream';
import { useRole } from '../state/session';
import { LOG_LIMIT, type LogView, useLog } from '../state/use_log';

const LEVELS = [
  ['', 'All levels'],
  ['info', 'Info and above'],
  ['warning', 'Warnings and errors'],
  ['error', 'Errors'],
] as const;
const CONNECTIONS: Record<LogView['connection'], { word: string; tone: Tone }> = {
  live: { word: 'Live', tone: 'ok' },
  reconnecting: { word: 'Reconnecting', tone: 'warn' },
  paused: { word: 'Paused', tone: 'neutral' },
};
const JOB_ID = /^[A-Za-z0-9-]{32,64}$/;

export default function LogsPage() {
  const [search, setSearch] = useSearchParams();
  const { isOperator } = useRole();
  const [isPaused, setIsPaused] = useState(false);
  const [isFollowing, setIsFollowing] = useState(true);
  const job = search.get('job') ?? '';
  const level = search.get('level') ?? '';
  const stage = search.get('stage') ?? '';
  const words = search.get('text') ?? '';
  const filter: LogFilter = {
    // an incomplete id is not a filter yet
    ...(JOB_ID.test(job) ? { job_id: job } : {}),
    ...(level ? { level } : {}),
    ...(stage ? { stage } : {}),
  };
  const log = useLog(filter, isPaused);
  const needle = useDeferredValue(words.trim().toLowerCase());
  const shown = useMemo(
    () => (needle ? log.lines.filter((line) => JSON.stringify(line).toLowerCase().includes(needle)) : log.lines),
    [log.lines, needle],
  );
  const set = (name: string, value: string): void => {
    setSearch(
      (now) => {
        if (value) now.set(name, value);
        else now.delete(name);
        return now;
      },
      { replace: true },
    );
  };
  const connection = CONNECTIONS[log.connection];
  return (
    <>
      <PageHeading
        title="Logs"
        aside={
          <>
            <span data-testid="log-connection" data-state={log.connection} role="status">
              <Badge tone={connection.tone}>{connection.word}</Badge>
            </span>
            <Button
              size="sm"
              data-testid="log-pause"
              aria-pressed={isPaused}
              icon={isPaused ? <Play aria-hidden className="size-3.5" /> : <Pause aria-hidden className="size-3.5" />}
              onClick={() => {
                setIsPaused((now) => !now);
              }}
            >
              {isPaused ? 'Resume' : 'Pause'}
            </Button>
            <Button
              size="sm"
              kind={isFollowing ? 'primary' : 'secondary'}
              data-testid="log-follow"
              aria-pressed={isFollowing}
              icon={<ArrowDownToLine aria-hidden className="size-3.5" />}
              onClick={() => {
                setIsFollowing((now) => !now);
              }}
            >
              Follow
            </Button>
          </>
        }
      >
        {isOperator ? 'Every event of every job, as it happens.' : 'The events of your own jobs, as they happen.'}
      </PageHeading>
      <div className="mb-4 grid grid-cols-2 gap-3 lg:grid-cols-[1fr_11rem_13rem_1.3fr]">
        <Field id="log-job" label="Job id" value={job} onChange={set.bind(null, 'job')} />
        <Choice id="log-level" label="Level" value={level} options={LEVELS} onChange={set.bind(null, 'level')} />
        <Choice
          id="log-stage"
          label="Stage"
          value={stage}
          options={[['', 'All stages'], ...STAGES.map((name) => [name, STAGE_NAMES[name]] as const)]}
          onChange={set.bind(null, 'stage')}
        />
        <Field id="log-text" label="Text in loaded lines" value={words} onChange={set.bind(null, 'text')} />
      </div>
      <Lines log={log} shown={shown} isFollowing={isFollowing} onFollow={setIsFollowing} isFiltered={needle !== ''} />
    </>
  );
}

interface LinesProps {
  log: LogView;
  shown: LogView['lines'];
  isFollowing: boolean;
  isFiltered: boolean;
  onFollow: (isFollowing: boolean) => void;
}

function Lines({ log, shown, isFollowing, isFiltered, onFollow }: LinesProps) {
  const list = useRef<HTMLDivElement>(null);
  // stays the same function, so that unchanged rows are not rendered again
  const stopFollowing = useCallback(() => {
    onFollow(false);
  }, [onFollow]);
  useEffect(() => {
    const element = list.current;
    if (isFollowing && element) element.scrollTop = element.scrollHeight;
  }, [shown, isFollowing]);
  return (
    <div className="card overflow-hidden">
      <p className="flex flex-wrap justify-between gap-x-4 border-b border-line px-4 py-2 text-xs text-muted">
        <span data-testid="log-count">
          {isFiltered ? `${String(shown.length)} of ${plural(log.lines.length, 'line')}` : plural(shown.length, 'line')}
        </span>
        {log.dropped > 0 && (
          <span data-testid="log-dropped">
            {plural(log.dropped, 'older line')} dropped. This page keeps the last {LOG_LIMIT}.
          </span>
        )}
        {log.dropped === 0 && log.hasOlder && (
          <span>Older lines are not loaded. Filter by a job to see all its lines.</span>
        )}
      </p>
      <div
        ref={list}
        role="log"
        aria-label="Log lines"
        aria-live="off"
        // a scrolling region must be reachable by keyboard
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        className="h-[62vh] min-h-80 overflow-y-auto overscroll-contain"
        onWheel={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          const isAtEnd = scrollHeight - scrollTop - clientHeight < 4;
          if (event.deltaY < 0) onFollow(false);
          else if (isAtEnd) onFollow(true);
        }}
        onTouchMove={stopFollowing}
      >
        {!log.isLoaded && log.lines.length === 0 && (
          <Loading label="Loading the log">
            <div className="flex flex-col gap-2 p-4">
              {[0, 1, 2, 3, 4, 5].map((row) => (
                <Skeleton key={row} className="h-4" />
              ))}
            </div>
          </Loading>
        )}
        {log.isLoaded && shown.length === 0 && (
          <p className="p-8 text-center text-sm text-muted">
            {isFiltered ? 'No loaded line contains this text.' : 'No lines yet. New events appear here.'}
          </p>
        )}
        <ol>
          {shown.map((line) => (
            <LogRow key={line.id} line={line} onOpen={stopFollowing} />
          ))}
        </ol>
      </div>
    </div>
  );
}

interface FieldProps {
  id: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
}

function Field({ id, label, value, onChange }: FieldProps) {
  return (
    <div className="col-span-2 md:col-span-1">
      <label htmlFor={id} className="mb-1 block text-xs font-medium text-muted">
        {label}
      </label>
      <input
        id={id}
        data-testid={id}
        type="search"
        spellCheck={false}
        className="field"
        value={value}
        onChange={(event) => {
          onChange(event.target.value);
        }}
      />
    </div>
  );
}

function Choice({
  id,
  label,
  value,
  options,
  onChange,
}: FieldProps & { options: readonly (readonly [string, string])[] }) {
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-xs font-medium text-muted">
        {label}
      </label>
      <select
        id={id}
        data-testid={id}
        className="field"
        value={value}
        onChange={(event) => {
          onChange(event.target.value);
        }}
      >
        {options.map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
