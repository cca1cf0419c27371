import { useEffect, useRef } from 'react';

/** A picture from a file of the browser's machine. */
export function Preview({ file, className = '' }: { file: File; className?: string }) {
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
      <img ref={image} alt="" className="size-full object-cover" />
    </div>
  );
}
