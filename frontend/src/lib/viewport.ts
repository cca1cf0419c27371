/** Geometry of the comparison: two pictures of any size in one box, zoomed and moved together. */

export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** Where the box is in the viewport: `scale` CSS pixels per pixel of the box, `x` and `y` its corner. */
export interface View extends Point {
  scale: number;
}

export interface Rect extends Point, Size {}

const MAX_SCALE = 16;

/** The box that both pictures share: the size of the one with more pixels. */
export function commonBox(a: Size | null, b: Size | null): Size | null {
  if (!a || !b) return a ?? b;
  return a.width * a.height >= b.width * b.height ? a : b;
}

/** Where a picture is in the box: as large as fits, centred. */
export function placeInBox(picture: Size, box: Size): Rect {
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { x: (box.width - width) / 2, y: (box.height - height) / 2, width, height };
}

/** The whole box, centred, as large as the viewport allows. */
export function fit(box: Size, viewport: Size): View {
  const scale = Math.min(viewport.width / box.width, viewport.height / box.height);
  return centred(box, viewport, scale);
}

/** One pixel of the box on one pixel of the screen, around the middle of the viewport. */
export function actualPixels(view: View, box: Size, viewport: Size, pixelRatio: number): View {
  return zoomTo(view, 1 / pixelRatio, middle(viewport), box, viewport);
}

/** Scale by `factor`; the point under `at` stays there. */
export function zoomBy(view: View, factor: number, at: Point, box: Size, viewport: Size): View {
  return zoomTo(view, view.scale * factor, at, box, viewport);
}

export function moveBy(view: View, by: Point, box: Size, viewport: Size): View {
  return clamped({ ...view, x: view.x + by.x, y: view.y + by.y }, box, viewport);
}

export function middle(viewport: Size): Point {
  return { x: viewport.width / 2, y: viewport.height / 2 };
}

/** Pixels of the screen per pixel of the picture, in one direction. */
export function magnification(picture: Size, box: Size, view: View, pixelRatio: number): number {
  return (placeInBox(picture, box).width / picture.width) * view.scale * pixelRatio;
}

function zoomTo(view: View, wanted: number, at: Point, box: Size, viewport: Size): View {
  const smallest = Math.min(fit(box, viewport).scale, 1);
  const scale = Math.min(Math.max(wanted, smallest), Math.max(MAX_SCALE, smallest));
  const ratio = scale / view.scale;
  const moved = { scale, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio };
  return clamped(moved, box, viewport);
}

function centred(box: Size, viewport: Size, scale: number): View {
  return {
    scale,
    x: (viewport.width - box.width * scale) / 2,
    y: (viewport.height - box.height * scale) / 2,
  };
}

/** Keeps the picture in sight: an axis that fits is centred, any other covers the viewport. */
function clamped(view: View, box: Size, viewport: Size): View {
  return {
    scale: view.scale,
    x: clampedAxis(view.x, box.width * view.scale, viewport.width),
    y: clampedAxis(view.y, box.height * view.scale, viewport.height),
  };
}

function clampedAxis(offset: number, length: number, space: number): number {
  if (length <= space) return (space - length) / 2;
  return Math.min(0, Math.max(space - length, offset));
}
