import { useEffect, useRef } from 'react';
import type { Size } from '../lib/viewport';

interface Props {
  file: File;
  className?: string;
  /** Told once the browser has read the picture; never for a kind that it can't read. */
  onSize?: (size: Size) => void;
}

/** A picture from a file of the browser's machine. */
export function Preview({ file, className = '', onSize }: Props) {
  const image = useRef<HTMLImageElement>(null);
  useEffect(() => {
    const url = URL.createObjectURL(file);
    if (image.current) image.current.src = url;
    return () => {
      URL.revokeObjectURL(url);
    };
  }, [file]);
  return (
    <div className={`checkerboard ${className}`}>
      <img
        ref={image}
        alt=""
        className="size-full object-cover"
        onLoad={(event) => {
          const { naturalWidth: width, naturalHeight: height } = event.currentTarget;
          onSize?.({ width, height });
        }}
      />
    </div>
  );
}
