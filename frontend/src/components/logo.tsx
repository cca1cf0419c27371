export function Logo({ className = 'size-7' }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" aria-hidden className={className}>
      <rect width="32" height="32" rx="8" className="fill-accent" />
      <g className="stroke-on-accent" fill="none" strokeLinecap="round" strokeLinejoin="round">
        <path d="M16 6v20" strokeWidth="2" />
        <path d="M13 10a6 6 0 0 0 0 12z" className="fill-on-accent" stroke="none" />
        <path d="M19 10.700a6 6 0 0 1 0 10.600z" strokeWidth="1.500" />
      </g>
    </svg>
  );
}
