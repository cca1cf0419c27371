import { type ComponentType, type ReactNode, useRef, useState } from 'react';
import { pictureUrl } from '../api/queries';
import type { PictureName } from '../api/types';
import { PICTURE_NAMES } from '../lib/names';
import { useZoom } from '../lib/use_zoom';
import { commonBox, type Size } from '../lib/viewport';
import { CompareLayer } from './compare_layer';
import { ZoomBar } from './zoom_bar';

export interface ViewerLook {
  /** Width to height of the frame: known before the picture is there, so that nothing moves. */
  ratio: number;
  /** What lies over the lower edge of the picture. */
  overlay?: ReactNode;
}

interface Props extends ViewerLook {
  jobId: string;
  picture: PictureName;
  /** A second picture, shown beside the first with a divider. */
  against?: PictureName;
  slider?: ComponentType<{ isMovable: boolean; before: ReactNode; after: ReactNode }>;
  testId: string;
  /** Below the picture, before the zoom's buttons. */
  children?: ReactNode;
}

type Side = 'before' | 'after';

/** A whole picture, or two with a divider; zoomed and moved down to single pixels. */
export function Viewer({ jobId, picture, against, slider: Slider, testId, children, ...look }: Props) {
  const [sizes, setSizes] = useState<Partial<Record<Side, Size>>>({});
  const [failed, setFailed] = useState<Partial<Record<Side, boolean>>>({});
  const frame = useRef<HTMLDivElement>(null);
  const box = commonBox(sizes.before ?? null, sizes.after ?? null);
  const zoom = useZoom(frame, box);
  const { view, isMovable } = zoom;

  const layer = (side: Side, name: PictureName, words: string) => (
    <CompareLayer
      src={pictureUrl(jobId, name)}
      alt={words}
      size={sizes[side] ?? null}
      box={box}
      view={view}
      pixelRatio={zoom.pixelRatio}
      isMagnified={isMovable}
      onLoad={(size) => {
        setSizes((now) => ({ ...now, [side]: size }));
      }}
      onError={() => {
        setFailed((now) => ({ ...now, [side]: true }));
      }}
    />
  );
  const isLoading = !failed.before && !failed.after && (!sizes.before || (against && !sizes.after));

  return (
    <>
      {/* the viewport takes keys as a map does: + - 0 1 and, when zoomed, the arrows */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <div
        ref={frame}
        role="group"
        aria-label={`${against ? 'Comparison' : PICTURE_NAMES[picture]}. Keys: plus and minus zoom, 0 fits, 1 shows single pixels, arrows move.`}
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        data-testid={testId}
        data-picture={picture}
        data-against={against}
        data-scale={view ? view.scale.toFixed(4) : ''}
        onKeyDown={zoom.onKeyDown}
        style={{ aspectRatio: look.ratio }}
        className={`relative max-h-[min(64vh,48rem)] min-h-64 w-full overflow-hidden bg-sunken select-none ${isMovable ? 'cursor-grab touch-none active:cursor-grabbing' : 'touch-pan-y'}`}
        {...zoom.drag}
      >
        {against && Slider ? (
          <Slider
            isMovable={isMovable}
            before={layer('before', picture, `Before: ${PICTURE_NAMES[picture]}`)}
            after={layer('after', against, `After: ${PICTURE_NAMES[against]}`)}
          />
        ) : (
          layer('before', picture, PICTURE_NAMES[picture])
        )}
        {against && <Label side="left">{PICTURE_NAMES[picture]}</Label>}
        {against && <Label side="right">{PICTURE_NAMES[against]}</Label>}
        {isLoading && (
          <p role="status" className="absolute inset-0 grid place-items-center text-xs text-muted">
            <span className="rounded-full bg-surface/90 px-3 py-1">Loading the picture</span>
          </p>
        )}
        {(failed.before ?? failed.after) && (
          <p role="alert" className="absolute inset-x-4 top-1/2 text-center text-xs">
            <span className="rounded-full bg-bad-soft px-3 py-1 text-bad">
              {PICTURE_NAMES[failed.before ? picture : (against ?? picture)]}: the browser cannot show this picture.
              Download it instead.
            </span>
          </p>
        )}
        {look.overlay}
      </div>
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 px-4 pt-4 sm:px-5">
        <div className="flex flex-wrap items-center gap-2">{children}</div>
        <ZoomBar zoom={zoom}>
          <Sizes before={sizes.before} after={against ? sizes.after : sizes.before} />
        </ZoomBar>
      </div>
    </>
  );
}

function Sizes({ before, after }: { before: Size | undefined; after: Size | undefined }) {
  if (!before || !after) return null;
  const word = (size: Size): string => `${String(size.width)} × ${String(size.height)}`;
  const isSame = before.width === after.width && before.height === after.height;
  return <> · {isSame ? word(after) : `${word(before)} against ${word(after)}`} px</>;
}

function Label({ side, children }: { side: 'left' | 'right'; children: string }) {
  return (
    <span
      aria-hidden
      className={`pointer-events-none absolute top-3 z-10 rounded-full bg-surface/90 px-2.5 py-1 text-xs font-medium shadow-sm ${side === 'left' ? 'left-3' : 'right-3'}`}
    >
      {children}
    </span>
  );
}
