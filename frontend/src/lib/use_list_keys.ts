import { type RefObject, useEffect, useEffectEvent } from 'react';

interface Keys {
  list: RefObject<HTMLElement | null>;
  search: RefObject<HTMLElement | null>;
  onHelp: () => void;
}

const STEPS: Record<string, 'left' | 'right' | 'up' | 'down'> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};

/** `/` goes to the search, arrows go from one link of the list to the next, `?` shows the keys. */
export function useListKeys({ list, search, onHelp }: Keys): void {
  const onKeyDown = useEffectEvent((event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const step = STEPS[event.key];
    if (event.key === '/') search.current?.focus();
    else if (event.key === '?') onHelp();
    else if (!step || !list.current || !move(list.current, step)) return;
    event.preventDefault();
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      onKeyDown(event);
    };
    window.addEventListener('keydown', listen);
    return () => {
      window.removeEventListener('keydown', listen);
    };
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, textarea, select, dialog, [role=slider]') !== null;
}

/** Moves the focus to another link of the list. Returns false if there is none in that direction. */
function move(list: HTMLElement, step: 'left' | 'right' | 'up' | 'down'): boolean {
  const links = [...list.querySelectorAll<HTMLElement>('a[data-item]')];
  const at = links.findIndex((link) => link === document.activeElement);
  if (at < 0 && step !== 'down') return false;
  const tops = links.map((link) => link.getBoundingClientRect().top);
  const row = tops.filter((top) => top === tops[0]).length;
  const by = { left: -1, right: 1, up: -row, down: row }[step];
  const next = links[at < 0 ? 0 : at + by];
  next?.focus();
  return next !== undefined;
}
