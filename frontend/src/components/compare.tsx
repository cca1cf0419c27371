import { useRef, useState } from 'react';
import { pictureUrl } from '../api/queries';
import type { PictureName } from '../api/types';
import { PICTURE_NAMES } from '../lib/names';
import { useZoom } from '../lib/use_zoom';
import { commonBox, type Size } from '../lib/viewport';
import { CompareLayer } from './compare_layer';
import { CompareSlider } from './compare_slider';
import { ZoomBar } from './zoom_bar';

interface Props {
  jobId: string;
  /** The existing pictures, in the order of the pipeline. */
  pictures: readonly PictureName[];
}

/** Compares any two pictures of a job: one over the other with a divider, down to single pixels. */
export function Compare({ jobId, pictures }: Props) {
  const [chosen, setChosen] = useState<{ before?: PictureName; after?: PictureName }>({});
  const before = chosen.before && pictures.includes(chosen.before) ? chosen.before : (pictures[0] ?? 'source');
  const after = chosen.after && pictures.includes(chosen.after) ? chosen.after : (pictures.at(-1) ?? 'source');
  return (
    <div>
      <div className="mb-3 flex flex-wrap items-end gap-3">
        <Choice
          label="Before"
          testId="compare-before"
          value={before}
          pictures={pictures}
          onChange={(name) => {
            setChosen((now) => ({ ...now, before: name }));
          }}
        />
        <Choice
          label="After"
          testId="compare-after"
          value={after}
          pictures={pictures}
          onChange={(name) => {
            setChosen((now) => ({ ...now, after: name }));
          }}
        />
      </div>
      <Viewer
        key={`${jobId}/${before}/${after}`}
        jobId={jobId}
        before={before}
        after={after}
        isAlone={pictures.length < 2}
      />
    </div>
  );
}

function Choice({
  label,
  testId,
  value,
  pictures,
  onChange,
}: {
  label: string;
  testId: string;
  value: PictureName;
  pictures: readonly PictureName[];
  onChange: (name: PictureName) => void;
}) {
  return (
    <label className="flex items-center gap-2 text-xs font-medium text-muted">
      {label}
      <select
        data-testid={testId}
        className="field w-auto! py-1! text-sm"
        value={value}
        onChange={(event) => {
          onChange(event.target.value as PictureName);
        }}
      >
        {pictures.map((name) => (
          <option key={name} value={name}>
            {PICTURE_NAMES[name]}
          </option>
        ))}
      </select>
    </label>
  );
}

interface ViewerProps {
  jobId: string;
  before: PictureName;
  after: PictureName;
  /** There is only one picture so far. */
  isAlone: boolean;
}

function Viewer({ jobId, before, after, isAlone }: ViewerProps) {
  const [sizes, setSizes] = useState<Partial<Record<'before' | 'after', Size>>>({});
  const [failed, setFailed] = useState<Partial<Record<'before' | 'after', boolean>>>({});
  const frame = useRef<HTMLDivElement>(null);
  const box = commonBox(sizes.before ?? null, sizes.after ?? null);
  const zoom = useZoom(frame, box);
  const { view, isMovable } = zoom;

  const layer = (side: 'before' | 'after', name: PictureName) => (
    <CompareLayer
      src={pictureUrl(jobId, name)}
      alt={`${side === 'before' ? 'Before' : 'After'}: ${PICTURE_NAMES[name]}`}
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
  const isLoading = !failed.before && !failed.after && (!sizes.before || (!isAlone && !sizes.after));

  return (
    <>
      {/* the viewport takes keys as a map does: + - 0 1 and, when zoomed, the arrows */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <div
        ref={frame}
        role="group"
        aria-label="Comparison. Keys: plus and minus zoom, 0 fits, 1 shows single pixels, arrows move."
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        data-testid="compare"
        data-before={before}
        data-after={after}
        data-scale={view ? view.scale.toFixed(4) : ''}
        onKeyDown={zoom.onKeyDown}
        className={`relative aspect-square max-h-[70vh] w-full sm:aspect-auto sm:h-[min(70vh,40rem)] sm:min-h-72 overflow-hidden rounded-xl border border-line select-none ${isMovable ? 'cursor-grab touch-none active:cursor-grabbing' : 'touch-pan-y'}`}
        {...zoom.drag}
      >
        {isAlone ? (
          layer('before', before)
        ) : (
          <CompareSlider isMovable={isMovable} before={layer('before', before)} after={layer('after', after)} />
        )}
        <Label side="left">{PICTURE_NAMES[before]}</Label>
        {!isAlone && <Label side="right">{PICTURE_NAMES[after]}</Label>}
        {isLoading && (
          <p role="status" className="absolute inset-x-0 bottom-3 text-center text-xs text-muted">
            <span className="rounded-full bg-surface/90 px-3 py-1">Loading pictures</span>
          </p>
        )}
        {(failed.before ?? failed.after) && (
          <p role="alert" className="absolute inset-x-4 bottom-3 text-center text-xs">
            <span className="rounded-full bg-bad-soft px-3 py-1 text-bad">
              {PICTURE_NAMES[failed.before ? before : after]}: the browser cannot show this picture. Download it
              instead.
            </span>
          </p>
        )}
      </div>
      <ZoomBar zoom={zoom}>
        <Sizes before={sizes.before} after={isAlone ? sizes.before : sizes.after} />
      </ZoomBar>
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
