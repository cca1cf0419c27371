import { Maximize, ZoomIn, ZoomOut } from 'lucide-react';
import {
  type KeyboardEvent,
  type PointerEvent,
  type SyntheticEvent,
  type ReactNode,
  type RefObject,
  useEffect,
  useEffectEvent,
  useLayoutEffect,
  useRef,
  useState,
} from 'react';
import { Handle, HandleRoot, Item, Provider, Root } from 'react-compare-slider/components';
import { useReactCompareSlider } from 'react-compare-slider/hooks';
import { pictureUrl } from '../api/queries';
import { PICTURE_NAMES, type PictureName } from '../lib/names';
import {
  actualPixels,
  commonBox,
  fit,
  magnification,
  middle,
  moveBy,
  placeInBox,
  type Point,
  type Size,
  type View,
  zoomBy,
} from '../lib/viewport';
import { Button } from './button';

interface Props {
  jobId: string;
  /** Pictures that are there, in the order of the pipeline. */
  pictures: readonly PictureName[];
}

const STEP = 1.5;
const KEY_MOVE_PX = 60;

/** Any two pictures of a job over each other with a divider between them, down to single pixels. */
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
  /** There is one picture only: nothing to compare it with yet. */
  isAlone: boolean;
}

function Viewer({ jobId, before, after, isAlone }: ViewerProps) {
  const [sizes, setSizes] = useState<Partial<Record<'before' | 'after', Size>>>({});
  const [failed, setFailed] = useState<Partial<Record<'before' | 'after', boolean>>>({});
  const frame = useRef<HTMLDivElement>(null);
  const viewport = useSize(frame);
  const box = commonBox(sizes.before ?? null, sizes.after ?? null);
  const [wanted, setWanted] = useState<View | null>(null);
  const fitted = box && viewport ? fit(box, viewport) : null;
  const view = wanted ?? fitted;
  const ratio = window.devicePixelRatio || 1;
  const isMovable = Boolean(view && fitted && view.scale > fitted.scale * 1.001);

  const change = (next: (view: View, box: Size, viewport: Size) => View): void => {
    if (!box || !viewport || !fitted) return;
    setWanted((now) => {
      const view = next(now ?? fitted, box, viewport);
      // back at the whole picture it follows the window's size again
      return view.scale <= fitted.scale * 1.001 ? null : view;
    });
  };
  const zoom = (factor: number, at?: Point): void => {
    change((view, box, viewport) => zoomBy(view, factor, at ?? middle(viewport), box, viewport));
  };
  useWheel(frame, isMovable, zoom);
  const drag = useDrag(isMovable, (by) => {
    change((view, box, viewport) => moveBy(view, by, box, viewport));
  });

  const onKeyDown = (event: KeyboardEvent): void => {
    const move = MOVES[event.key];
    if (event.key === '+' || event.key === '=') zoom(STEP);
    else if (event.key === '-') zoom(1 / STEP);
    else if (event.key === '0') setWanted(null);
    else if (event.key === '1') change((view, box, viewport) => actualPixels(view, box, viewport, ratio));
    else if (move && event.target === frame.current) {
      change((view, box, viewport) =>
        moveBy(view, { x: move.x * KEY_MOVE_PX, y: move.y * KEY_MOVE_PX }, box, viewport),
      );
    } else return;
    event.preventDefault();
  };

  const layer = (side: 'before' | 'after', name: PictureName) => (
    <Layer
      src={pictureUrl(jobId, name)}
      alt={`${side === 'before' ? 'Before' : 'After'}: ${PICTURE_NAMES[name]}`}
      size={sizes[side] ?? null}
      box={box}
      view={view}
      pixelRatio={ratio}
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
        onKeyDown={onKeyDown}
        className={`relative aspect-square max-h-[70vh] w-full sm:aspect-auto sm:h-[min(70vh,40rem)] sm:min-h-72 touch-none overflow-hidden rounded-xl border border-line select-none ${isMovable ? 'cursor-grab touch-none active:cursor-grabbing' : 'touch-pan-y'}`}
        {...drag}
      >
        {isAlone ? (
          layer('before', before)
        ) : (
          <Slider isMovable={isMovable} before={layer('before', before)} after={layer('after', after)} />
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
              {PICTURE_NAMES[failed.before ? before : after]}: this picture can not be shown here. Download it instead.
            </span>
          </p>
        )}
      </div>
      <div className="mt-3 flex flex-wrap items-center gap-2">
        <Button
          size="sm"
          data-testid="zoom-out"
          aria-label="Zoom out"
          onClick={() => {
            zoom(1 / STEP);
          }}
          icon={<ZoomOut aria-hidden className="size-4" />}
        />
        <Button
          size="sm"
          data-testid="zoom-in"
          aria-label="Zoom in"
          onClick={() => {
            zoom(STEP);
          }}
          icon={<ZoomIn aria-hidden className="size-4" />}
        />
        <Button
          size="sm"
          data-testid="zoom-fit"
          onClick={() => {
            setWanted(null);
          }}
          icon={<Maximize aria-hidden className="size-3.5" />}
        >
          Fit
        </Button>
        <Button
          size="sm"
          data-testid="zoom-pixels"
          aria-label="1:1, one pixel of the picture on one of the screen"
          onClick={() => {
            change((view, box, viewport) => actualPixels(view, box, viewport, ratio));
          }}
        >
          1:1
        </Button>
        <p className="ml-auto text-xs text-muted" data-testid="zoom-readout">
          {view ? `${String(Math.round(view.scale * ratio * 100))}%` : ''}
          <Sizes before={sizes.before} after={isAlone ? sizes.before : sizes.after} />
        </p>
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

function Slider({ isMovable, before, after }: { isMovable: boolean; before: ReactNode; after: ReactNode }) {
  const slider = useReactCompareSlider({ onlyHandleDraggable: isMovable, keyboardIncrement: '5%' });
  const onKeyDown = (event: KeyboardEvent): void => {
    const jump = JUMPS[event.key];
    if (jump === undefined) return;
    event.preventDefault();
    slider.setPosition(jump.isAbsolute ? jump.to : slider.position.current + jump.to);
  };
  return (
    <Provider {...slider}>
      <Root className="size-full" style={{ width: '100%', height: '100%', touchAction: isMovable ? 'none' : 'pan-y' }}>
        <Item item="itemOne">{before}</Item>
        <Item item="itemTwo">{after}</Item>
        <HandleRoot
          data-testid="compare-handle"
          aria-label="Divider between before and after"
          className="group"
          onKeyDown={onKeyDown}
        >
          <Handle
            className="group-focus-visible:[&>div:nth-child(2)]:outline-4 group-focus-visible:[&>div:nth-child(2)]:outline-offset-2 group-focus-visible:[&>div:nth-child(2)]:outline-accent"
            buttonStyle={{
              width: '2.75rem',
              height: '2.75rem',
              backgroundColor: 'rgba(20, 22, 28, 0.55)',
              backdropFilter: 'none',
            }}
          />
        </HandleRoot>
      </Root>
    </Provider>
  );
}

const JUMPS: Record<string, { to: number; isAbsolute: boolean }> = {
  Home: { to: 0, isAbsolute: true },
  End: { to: 100, isAbsolute: true },
  PageUp: { to: 20, isAbsolute: false },
  PageDown: { to: -20, isAbsolute: false },
};

const MOVES: Record<string, Point> = {
  ArrowLeft: { x: 1, y: 0 },
  ArrowRight: { x: -1, y: 0 },
  ArrowUp: { x: 0, y: 1 },
  ArrowDown: { x: 0, y: -1 },
};

interface LayerProps {
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

/** One picture, laid into the shared box and moved with it. */
function Layer({ src, alt, size, box, view, pixelRatio, isMagnified, onLoad, onError }: LayerProps) {
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

function useSize(element: RefObject<HTMLElement | null>): Size | null {
  const [size, setSize] = useState<Size | null>(null);
  useLayoutEffect(() => {
    const target = element.current;
    if (!target) return;
    const measure = (): void => {
      const { clientWidth: width, clientHeight: height } = target;
      if (width > 0 && height > 0) setSize({ width, height });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(target);
    return () => {
      observer.disconnect();
    };
  }, [element]);
  return size;
}

/** React's own wheel handlers are passive, and the page must not scroll while a picture is zoomed. */
function useWheel(
  element: RefObject<HTMLElement | null>,
  isZoomed: boolean,
  zoom: (factor: number, at: Point) => void,
): void {
  const onWheel = useEffectEvent((event: WheelEvent, target: HTMLElement): void => {
    // the whole picture is seen already: the wheel is the page's
    if (event.deltaY > 0 && !isZoomed) return;
    event.preventDefault();
    const { left, top } = target.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), { x: event.clientX - left, y: event.clientY - top });
  });
  useEffect(() => {
    const target = element.current;
    if (!target) return;
    const listen = (event: WheelEvent): void => {
      onWheel(event, target);
    };
    target.addEventListener('wheel', listen, { passive: false });
    return () => {
      target.removeEventListener('wheel', listen);
    };
  }, [element]);
}

function useDrag(isOn: boolean, move: (by: Point) => void) {
  const last = useRef<Point | null>(null);
  if (!isOn) return {};
  return {
    onPointerDown: (event: PointerEvent<HTMLElement>) => {
      if (event.button !== 0 || (event.target as Element).closest('[role=slider]')) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      last.current = { x: event.clientX, y: event.clientY };
    },
    onPointerMove: (event: PointerEvent<HTMLElement>) => {
      if (!last.current) return;
      move({ x: event.clientX - last.current.x, y: event.clientY - last.current.y });
      last.current = { x: event.clientX, y: event.clientY };
    },
    onPointerUp: () => {
      last.current = null;
    },
    onPointerCancel: () => {
      last.current = null;
    },
  };
}
