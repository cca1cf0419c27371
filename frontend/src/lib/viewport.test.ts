import { describe, expect, it } from 'vitest';
import {
  actualPixels,
  commonBox,
  fit,
  magnification,
  moveBy,
  placeInBox,
  type Point,
  type View,
  zoomBy,
} from './viewport';

const SMALL = { width: 600, height: 400 };
const LARGE = { width: 2400, height: 1600 };
const VIEWPORT = { width: 1200, height: 600 };

/** Pixel of the box that lies under a point of the viewport. */
function under(view: View, at: Point): Point {
  return { x: (at.x - view.x) / view.scale, y: (at.y - view.y) / view.scale };
}

describe('two pictures in one box', () => {
  it('takes the size of the larger one, whichever side it is on', () => {
    expect(commonBox(SMALL, LARGE)).toEqual(LARGE);
    expect(commonBox(LARGE, SMALL)).toEqual(LARGE);
    expect(commonBox(null, SMALL)).toEqual(SMALL);
  });

  it('lays 600x400 exactly over its 2400x1600', () => {
    expect(placeInBox(SMALL, LARGE)).toEqual({ x: 0, y: 0, width: 2400, height: 1600 });
  });

  it('puts a picture of another shape into the middle, whole', () => {
    expect(placeInBox({ width: 1024, height: 1024 }, LARGE)).toEqual({ x: 400, y: 0, width: 1600, height: 1600 });
  });

  it('knows that a pixel of the smaller one covers four of the larger one', () => {
    const view = { scale: 1, x: 0, y: 0 };
    expect(magnification(SMALL, LARGE, view, 1)).toBe(4);
    expect(magnification(LARGE, LARGE, view, 1)).toBe(1);
  });
});

describe('zooming', () => {
  it('fits the whole box, centred', () => {
    expect(fit(LARGE, VIEWPORT)).toEqual({ scale: 0.375, x: 150, y: 0 });
  });

  it('keeps the pixel under the pointer where it is', () => {
    const start = zoomBy(fit(LARGE, VIEWPORT), 4, { x: 600, y: 300 }, LARGE, VIEWPORT);
    const at = { x: 700, y: 250 };
    const next = zoomBy(start, 2, at, LARGE, VIEWPORT);
    expect(next.scale).toBeCloseTo(start.scale * 2);
    expect(under(next, at).x).toBeCloseTo(under(start, at).x);
    expect(under(next, at).y).toBeCloseTo(under(start, at).y);
  });

  it('shows one pixel of the picture on one of the screen, also on a dense screen', () => {
    const view = actualPixels(fit(LARGE, VIEWPORT), LARGE, VIEWPORT, 2);
    expect(view.scale).toBe(0.5);
    expect(magnification(LARGE, LARGE, view, 2)).toBe(1);
  });

  it('never goes smaller than the whole nor larger than 16 to 1', () => {
    const smallest = zoomBy(fit(LARGE, VIEWPORT), 0.01, { x: 0, y: 0 }, LARGE, VIEWPORT);
    expect(smallest).toEqual(fit(LARGE, VIEWPORT));
    expect(zoomBy(smallest, 1e6, { x: 0, y: 0 }, LARGE, VIEWPORT).scale).toBe(16);
  });
});

describe('moving', () => {
  it('never loses the picture: its edges stop at those of the viewport', () => {
    const view = zoomBy(fit(LARGE, VIEWPORT), 4, { x: 600, y: 300 }, LARGE, VIEWPORT);
    const left = moveBy(view, { x: 1e5, y: 1e5 }, LARGE, VIEWPORT);
    expect([left.x, left.y]).toEqual([0, 0]);
    const right = moveBy(view, { x: -1e5, y: -1e5 }, LARGE, VIEWPORT);
    expect(right.x + LARGE.width * right.scale).toBeCloseTo(VIEWPORT.width);
    expect(right.y + LARGE.height * right.scale).toBeCloseTo(VIEWPORT.height);
  });

  it('keeps an axis that fits in the middle', () => {
    const view = fit(LARGE, VIEWPORT);
    expect(moveBy(view, { x: 500, y: 0 }, LARGE, VIEWPORT)).toEqual(view);
  });
});
