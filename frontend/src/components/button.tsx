import type { ButtonHTMLAttributes, ReactNode } from 'react';

type Kind = 'primary' | 'secondary' | 'quiet' | 'danger';

const KINDS: Record<Kind, string> = {
  primary: 'bg-accent text-on-accent hover:brightness-110 border-transparent',
  secondary: 'bg-surface text-ink border-line-strong/60 hover:bg-sunken',
  quiet: 'bg-transparent text-muted border-transparent hover:bg-sunken hover:text-ink',
  danger: 'bg-surface text-bad border-bad/50 hover:bg-bad-soft',
};

export function buttonClass(kind: Kind = 'secondary', size: 'md' | 'sm' = 'md'): string {
  const room = size === 'md' ? 'min-h-10 px-4 text-sm' : 'min-h-8 px-2.5 text-[0.8125rem]';
  return `inline-flex items-center justify-center gap-2 rounded-[0.625rem] border font-medium whitespace-nowrap transition-colors disabled:opacity-55 disabled:cursor-not-allowed ${room} ${KINDS[kind]}`;
}

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: Kind;
  size?: 'md' | 'sm';
  icon?: ReactNode;
}

export function Button({ kind = 'secondary', size = 'md', icon, className = '', children, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} className={`${buttonClass(kind, size)} ${className}`}>
      {icon}
      {children}
    </button>
  );
}
