import { ImagePlus } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import type { GuardrailLimits } from '../api/types';
import { bytes } from '../lib/format';

interface Props {
  limits?: GuardrailLimits | undefined;
  title?: string;
  /** Name of the field for who can't see it. */
  label?: string;
  /** Kinds of files that the dialog offers; empty: all. */
  accept?: string;
  onFiles: (files: File[]) => void;
}

/** Takes photos by drop, from the file dialog and from the clipboard. */
export function Dropzone({
  limits,
  title = 'Drop photos here, or choose files',
  label = 'Photos',
  accept = 'image/*',
  onFiles,
}: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [isOver, setIsOver] = useState(false);
  useEffect(() => {
    const onPaste = (event: ClipboardEvent): void => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0) {
        event.preventDefault();
        onFiles(files);
      }
    };
    document.addEventListener('paste', onPaste);
    return () => {
      document.removeEventListener('paste', onPaste);
    };
  }, [onFiles]);
  useEffect(() => {
    // without this the browser would open a photo that is dropped beside the field
    const onDragOver = (event: globalThis.DragEvent): void => {
      event.preventDefault();
    };
    const onDrop = (event: globalThis.DragEvent): void => {
      event.preventDefault();
      setIsOver(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length > 0) onFiles(files);
    };
    window.addEventListener('dragover', onDragOver);
    window.addEventListener('drop', onDrop);
    return () => {
      window.removeEventListener('dragover', onDragOver);
      window.removeEventListener('drop', onDrop);
    };
  }, [onFiles]);
  return (
    // dropping is for the pointer only; the button below does the same for everybody
    <div
      data-testid="dropzone"
      onDragOver={() => {
        setIsOver(true);
      }}
      onDragLeave={() => {
        setIsOver(false);
      }}
      className={`rounded-2xl border-2 border-dashed transition-colors ${isOver ? 'border-accent bg-accent-soft' : 'border-line-strong/50 bg-surface'}`}
    >
      <button
        type="button"
        onClick={() => input.current?.click()}
        className="flex w-full flex-col items-center gap-2 rounded-2xl px-6 py-10 text-center sm:py-14"
      >
        <span className="grid size-12 place-items-center rounded-full bg-accent-soft text-accent">
          <ImagePlus aria-hidden className="size-6" />
        </span>
        <span className="text-base font-semibold">{title}</span>
        <span className="text-sm text-muted">You can also paste a picture from the clipboard.</span>
        {limits && (
          <span className="text-xs text-muted">
            {limits.formats.map((format) => format.replace('image/', '').toUpperCase()).join(', ')}, up to{' '}
            {bytes(limits.max_bytes)} and {limits.max_megapixels} megapixels, sides of {limits.min_side_px} to{' '}
            {limits.max_side_px} px
          </span>
        )}
      </button>
      <input
        ref={input}
        data-testid="file-input"
        type="file"
        multiple
        accept={accept}
        aria-label={label}
        tabIndex={-1}
        className="sr-only"
        onChange={(event) => {
          const files = [...(event.target.files ?? [])];
          event.target.value = '';
          if (files.length > 0) onFiles(files);
        }}
      />
    </div>
  );
}
