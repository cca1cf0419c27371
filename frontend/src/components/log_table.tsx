import { ChevronRight } from 'lucide-react';
import { memo, useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import type { LogLine } from '../api/types';
import { clock, shortId } from '../lib/format';

const LEVELS: Record<string, string> = {
  error: 'text-bad',
  warning: 'text-warn',
  info: 'text-muted',
  debug: 'text-muted',
};
const SHOWN = new Set(['id', 'timestamp', 'level', 'event', 'job_id', 'version', 'stage']);

/** One log line; a click shows all its keys. */
export const LogRow = memo(function LogRow({ line, onOpen }: { line: LogLine; onOpen: () => void }) {
  const [isOpen, setIsOpen] = useState(false);
  const row = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (isOpen) row.current?.scrollIntoView({ block: 'nearest' });
  }, [isOpen]);
  return (
    <li
      ref={row}
      data-testid="log-row"
      data-event-id={line.id}
      data-level={line.level}
      data-stage={line.stage ?? ''}
      className="row-lazy border-b border-line/60 last:border-b-0"
    >
      <button
        type="button"
        aria-expanded={isOpen}
        className="grid w-full grid-cols-[0.75rem_3.75rem_3.25rem_1fr] items-baseline gap-x-2 px-2 sm:px-3 py-1.5 text-left font-mono text-xs hover:bg-sunken/70 sm:grid-cols-[1rem_4.5rem_4.5rem_5.5rem_6.5rem_1fr]"
        onClick={() => {
          if (!isOpen) onOpen();
          setIsOpen(!isOpen);
        }}
      >
        <ChevronRight
          aria-hidden
          className={`size-3 self-center text-muted transition-transform ${isOpen ? 'rotate-90' : ''}`}
        />
        <time dateTime={line.timestamp} className="text-muted">
          {clock(line.timestamp)}
        </time>
        <span className={`font-semibold ${LEVELS[line.level] ?? ''}`}>{line.level}</span>
        <span className="hidden text-muted sm:block">{line.job_id ? shortId(line.job_id) : ''}</span>
        <span className="hidden text-muted sm:block">{line.stage ?? ''}</span>
        <span className="min-w-0 truncate">
          <span className="font-semibold">{line.event}</span>
          <span className="text-muted">{extras(line)}</span>
        </span>
      </button>
      {isOpen && <Keys line={line} />}
    </li>
  );
});

function Keys({ line }: { line: LogLine }) {
  return (
    <dl className="grid grid-cols-[minmax(6rem,auto)_1fr] gap-x-4 gap-y-1 bg-sunken/60 px-8 py-3 font-mono text-xs">
      {Object.entries(line).map(([name, value]) => (
        <div key={name} className="col-span-2 grid grid-cols-subgrid">
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 break-all whitespace-pre-wrap">
            {name === 'job_id' && typeof value === 'string' ? (
              <Link className="text-accent underline" to={`/jobs/${value}`}>
                {value}
              </Link>
            ) : (
              text(value)
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function extras(line: LogLine): string {
  return Object.entries(line)
    .filter(([name, value]) => !SHOWN.has(name) && value !== null)
    .map(([name, value]) => ` ${name}=${text(value)}`)
    .join('');
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
