import { ChevronRight } from 'lucide-react';
import { type ReactNode, useEffect, useRef } from 'react';

let isFirstPage = true;

interface Props {
  title: string;
  /** Title of the browser's tab, if it should say more. */
  tab?: string;
  children?: ReactNode;
  aside?: ReactNode;
}

/** Names the view, in the tab too, and takes the focus when a person comes from another view. */
export function PageHeading({ title, tab, children, aside }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${tab ?? title} · Imagery pipeline`;
  }, [tab, title]);
  useEffect(() => {
    if (isFirstPage) isFirstPage = false;
    else heading.current?.focus();
  }, []);
  return (
    <div className="mb-6 flex flex-wrap items-end justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        <h1
          ref={heading}
          tabIndex={-1}
          className="line-clamp-2 text-2xl font-semibold tracking-tight break-words sm:text-3xl"
        >
          {title}
        </h1>
        {children && <div className="mt-1 text-sm text-muted">{children}</div>}
      </div>
      {aside && <div className="flex flex-wrap items-center gap-2">{aside}</div>}
    </div>
  );
}

interface SectionProps {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  /** Without a card of its own: for what stands beside the matter of the page. */
  isPlain?: boolean;
}

export function Section({ title, aside, children, className = '', isPlain = false }: SectionProps) {
  return (
    <section aria-label={title} className={`min-w-0 ${isPlain ? '' : 'card p-5'} ${className}`}>
      <div className={`flex flex-wrap items-center justify-between gap-2 ${isPlain ? 'mb-4' : 'mb-3'}`}>
        <h2 className="text-base font-semibold">{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

interface DisclosureProps {
  title: string;
  /** What is seen while it is closed. */
  summary?: ReactNode;
  isOpen?: boolean;
  children: ReactNode;
}

/** A section that is closed until somebody asks for it. */
export function Disclosure({ title, summary, isOpen = false, children }: DisclosureProps) {
  return (
    <details open={isOpen} className="group border-t border-line last:border-b">
      <summary className="flex min-h-14 items-center gap-3 py-2">
        <ChevronRight aria-hidden className="size-4 shrink-0 text-muted transition-transform group-open:rotate-90" />
        <h2 className="mr-auto text-base font-semibold">{title}</h2>
        {summary}
      </summary>
      <div className="pb-5 sm:pl-7">{children}</div>
    </details>
  );
}
