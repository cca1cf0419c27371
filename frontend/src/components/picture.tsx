import { ImageOff } from 'lucide-react';
import { useState } from 'react';

/** A thumbnail on a checkerboard, or a placeholder if there is no picture. */
export function Picture({ src, alt, className = '' }: { src: string | null; alt: string; className?: string }) {
  const [failed, setFailed] = useState<string | null>(null);
  const isThere = src !== null && failed !== src;
  return (
    <div className={`checkerboard grid place-items-center overflow-hidden rounded-lg border border-line ${className}`}>
      {isThere ? (
        <img
          src={src}
          alt={alt}
          loading="lazy"
          decoding="async"
          className="size-full object-cover"
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
