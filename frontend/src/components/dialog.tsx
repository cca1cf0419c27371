import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Button } from './button';

interface Props {
  title: string;
  children: ReactNode;
  /** Beside the button that closes it. */
  actions?: ReactNode;
  closeWord?: string;
  onClose: () => void;
}

/** A question or a note over the page; Escape closes it, and the focus returns to where it was. */
export function Dialog({ title, children, actions, closeWord = 'Close', onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onClose={onClose}
      className="card m-auto w-[min(30rem,calc(100vw-2rem))] p-6 text-ink backdrop:bg-black/50"
    >
      <h2 id={heading} className="text-lg font-semibold">
        {title}
      </h2>
      <div className="mt-2 text-sm">{children}</div>
      <div className="mt-6 flex flex-wrap justify-end gap-2">
        <Button
          onClick={() => {
            dialog.current?.close();
          }}
        >
          {closeWord}
        </Button>
        {actions}
      </div>
    </dialog>
  );
}
