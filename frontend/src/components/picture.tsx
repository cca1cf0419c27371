import { ImageOff } from 'lucide-react';
import { useState } from 'react';

interface Props {
  src: string | null;
  alt: string;
  /** Nothing of it is cut off, whatever its shape. */
  isWhole?: boolean;
  className?: string;
}

/** A thumbnail on a checkerboard, or a placeholder if there is no picture. */
export function Picture({ src, alt, isWhole = false, className = '' }: Props) {
  const [failed, setFailed] = useState<string | null>(null);
  const isThere = src !== null && failed !== src;
  return (
    <div
      className={`${isWhole ? 'bg-sunken' : 'checkerboard'} relative overflow-hidden rounded-lg border border-line ${className}`}
    >
      {isThere ? (
        <img
          src={src}
          alt={alt}
          loading="lazy"
          decoding="async"
          className={`absolute inset-0 size-full ${isWhole ? 'object-contain' : 'object-cover'}`}
          onError={() => {
            setFailed(src);
          }}
        />
      ) : (
        <div className="grid size-full place-items-center bg-sunken text-muted">
          <ImageOff aria-hidden className="size-4" />
          <span className="sr-only">{alt}: no picture</span>
        </div>
      )}
    </div>
  );
}
