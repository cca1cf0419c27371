import type { SyntheticEvent } from 'react';
import { magnification, placeInBox, type Size, type View } from '../lib/viewport';

interface Props {
  src: string;
  alt: string;
  size: Size | null;
  box: Size | null;
  view: View | null;
  pixelRatio: number;
  isMagnified: boolean;
  onLoad: (size: Size) => void;
  onError: () => void;
}

/** One picture in the box that both share; zoomed and moved with it. */
export function CompareLayer({ src, alt, size, box, view, pixelRatio, isMagnified, onLoad, onError }: Props) {
  const rect = size && box ? placeInBox(size, box) : null;
  const isPlaced = rect !== null && view !== null && size !== null && box !== null;
  const arePixelsSeen = isPlaced && isMagnified && magnification(size, box, view, pixelRatio) > 1.001;
  const onLoaded = (event: SyntheticEvent<HTMLImageElement>): void => {
    const { naturalWidth: width, naturalHeight: height } = event.currentTarget;
    if (width > 0 && height > 0) onLoad({ width, height });
  };
  const corner = isPlaced ? { x: view.x + rect.x * view.scale, y: view.y + rect.y * view.scale } : null;
  return (
    <div className="relative size-full overflow-hidden bg-sunken">
      {isPlaced && corner && (
        <div
          className="checkerboard absolute top-0 left-0"
          style={{
            width: rect.width * view.scale,
            height: rect.height * view.scale,
            transform: `translate(${String(corner.x)}px, ${String(corner.y)}px)`,
          }}
        />
      )}
      <img
        src={src}
        alt={alt}
        draggable={false}
        onLoad={onLoaded}
        onError={onError}
        className="absolute top-0 left-0 max-w-none origin-top-left"
        style={
          isPlaced && corner
            ? {
                width: rect.width,
                height: rect.height,
                transform: `translate(${String(corner.x)}px, ${String(corner.y)}px) scale(${String(view.scale)})`,
                imageRendering: arePixelsSeen ? 'pixelated' : 'auto',
              }
            : { visibility: 'hidden' }
        }
      />
    </div>
  );
}
