import {
  type KeyboardEvent,
  type PointerEvent,
  type RefObject,
  useEffect,
  useEffectEvent,
  useLayoutEffect,
  useRef,
  useState,
} from 'react';
import { actualPixels, fit, middle, moveBy, type Point, type Size, type View, zoomBy } from './viewport';

const STEP = 1.5;
const KEY_MOVE_PX = 60;
const MOVES: Record<string, Point> = {
  ArrowLeft: { x: 1, y: 0 },
  ArrowRight: { x: -1, y: 0 },
  ArrowUp: { x: 0, y: 1 },
  ArrowDown: { x: 0, y: -1 },
};

export interface Zoom {
  /** Null while the size of the picture or of the frame is unknown. */
  view: View | null;
  pixelRatio: number;
  /** The picture is larger than its frame. */
  isMovable: boolean;
  zoomIn: () => void;
  zoomOut: () => void;
  showAll: () => void;
  showPixels: () => void;
  onKeyDown: (event: KeyboardEvent) => void;
  drag: ReturnType<typeof useDrag>;
}

/** The part of `box` that `frame` shows, moved by wheel, pointer, keys and buttons. */
export function useZoom(frame: RefObject<HTMLElement | null>, box: Size | null): Zoom {
  const viewport = useSize(frame);
  const [wanted, setWanted] = useState<View | null>(null);
  const fitted = box && viewport ? fit(box, viewport) : null;
  const view = wanted ?? fitted;
  const pixelRatio = window.devicePixelRatio || 1;
  const isMovable = Boolean(view && fitted && view.scale > fitted.scale * 1.001);

  const change = (next: (view: View, box: Size, viewport: Size) => View): void => {
    if (!box || !viewport || !fitted) return;
    setWanted((now) => {
      const view = next(now ?? fitted, box, viewport);
      // once the whole picture is shown, it follows the window's size again
      return view.scale <= fitted.scale * 1.001 ? null : view;
    });
  };
  const zoom = (factor: number, at?: Point): void => {
    change((view, box, viewport) => zoomBy(view, factor, at ?? middle(viewport), box, viewport));
  };
  const move = (by: Point): void => {
    change((view, box, viewport) => moveBy(view, by, box, viewport));
  };
  const zoomIn = (): void => {
    zoom(STEP);
  };
  const zoomOut = (): void => {
    zoom(1 / STEP);
  };
  const showAll = (): void => {
    setWanted(null);
  };
  const showPixels = (): void => {
    change((view, box, viewport) => actualPixels(view, box, viewport, pixelRatio));
  };
  useWheel(frame, isMovable, zoom);
  const drag = useDrag(isMovable, move);

  const onKeyDown = (event: KeyboardEvent): void => {
    const by = MOVES[event.key];
    if (event.key === '+' || event.key === '=') zoomIn();
    else if (event.key === '-') zoomOut();
    else if (event.key === '0') showAll();
    else if (event.key === '1') showPixels();
    else if (by && event.target === frame.current) move({ x: by.x * KEY_MOVE_PX, y: by.y * KEY_MOVE_PX });
    else return;
    event.preventDefault();
  };
  return { view, pixelRatio, isMovable, zoomIn, zoomOut, showAll, showPixels, onKeyDown, drag };
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
    // the whole picture is shown already: the wheel scrolls the page
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
