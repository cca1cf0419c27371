import { Maximize, ZoomIn, ZoomOut } from 'lucide-react';
import type { ReactNode } from 'react';
import type { Zoom } from '../lib/use_zoom';
import { Button } from './button';

/** The buttons of a zoom, and the scale at which the picture is shown. */
export function ZoomBar({ zoom, children }: { zoom: Zoom; children: ReactNode }) {
  return (
    <div className="ml-auto flex items-center gap-0.5">
      <p className="mr-2 hidden text-xs text-muted sm:block" data-testid="zoom-readout">
        {zoom.view ? `${String(Math.round(zoom.view.scale * zoom.pixelRatio * 100))}%` : ''}
        {children}
      </p>
      <Button
        size="sm"
        kind="quiet"
        data-testid="zoom-out"
        aria-label="Zoom out"
        onClick={zoom.zoomOut}
        icon={<ZoomOut aria-hidden className="size-4" />}
      />
      <Button
        size="sm"
        kind="quiet"
        data-testid="zoom-in"
        aria-label="Zoom in"
        onClick={zoom.zoomIn}
        icon={<ZoomIn aria-hidden className="size-4" />}
      />
      <Button
        size="sm"
        kind="quiet"
        data-testid="zoom-fit"
        onClick={zoom.showAll}
        icon={<Maximize aria-hidden className="size-3.5" />}
      >
        Fit
      </Button>
      <Button
        size="sm"
        kind="quiet"
        data-testid="zoom-pixels"
        aria-label="1:1, one pixel of the picture on one pixel of the screen"
        onClick={zoom.showPixels}
      >
        1:1
      </Button>
    </div>
  );
}
