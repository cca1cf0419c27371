import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import { timeSpan } from '../lib/time_span';
import { useTheme } from '../state/theme';

export interface Line {
  label: string;
  values: readonly (number | null)[];
  /** Name of a CSS variable of the theme. */
  colour: string;
  /** Distinguishes two lines of one colour. */
  isDashed?: boolean;
}

interface Props {
  /** Seconds since the epoch, ascending. */
  times: readonly number[];
  lines: readonly Line[];
  format: (value: number) => string;
  summary: string;
  height?: number;
}

/** Lines over time. `summary` says the same in words, for people who cannot see the chart. */
export function Chart({ times, lines, format, summary, height = 180 }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useTheme();
  const shape = JSON.stringify(lines.map(({ label, colour, isDashed }) => [label, colour, isDashed]));
  const formatter = useRef(format);
  useEffect(() => {
    formatter.current = format;
  });
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const parts = JSON.parse(shape) as [string, string, boolean | undefined][];
    const made = new uPlot(options(element, parts, height, formatter), [[], ...parts.map(() => [])], element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
    // a plot reads its colours once: another theme needs a new plot
  }, [shape, height, theme]);
  useEffect(() => {
    plot.current?.setData([[...times], ...lines.map((line) => [...line.values])] as uPlot.AlignedData);
  }, [times, lines, shape, height, theme]);
  return (
    <div ref={host} role="img" aria-label={summary} className="min-w-0 overflow-hidden" style={{ minHeight: height }} />
  );
}

function options(
  element: HTMLElement,
  parts: [string, string, boolean | undefined][],
  height: number,
  formatter: { current: (value: number) => string },
): uPlot.Options {
  const grid = { stroke: resolve(element, '--line'), width: 1 };
  const axis = {
    stroke: resolve(element, '--muted'),
    grid,
    ticks: { show: false },
    font: '11px "Inter Variable", sans-serif',
  };
  return {
    width: Math.max(element.clientWidth, 200),
    height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { range: (plot, min, max) => timeSpan(plot.data[0].length, min, max) },
      y: { range: (_, min, max) => [Math.min(0, min), max > 0 ? max * 1.15 : 1] },
    },
    axes: [
      { ...axis, space: 70, size: 30, values: (_, splits) => splits.map((at) => time(at)) },
      { ...axis, size: 56, values: (_, splits) => splits.map((value) => formatter.current(value)) },
    ],
    series: [
      {},
      ...parts.map(([label, colour, isDashed]) => ({
        label,
        stroke: resolve(element, colour),
        width: 2,
        spanGaps: false,
        // a few snapshots do not make a line yet
        points: { show: (plot: uPlot) => plot.data[0].length < 24, size: 5 },
        ...(isDashed ? { dash: [5, 4] } : {}),
      })),
    ],
  };
}

/** A CSS variable of the theme as a colour that a canvas accepts. */
function resolve(element: HTMLElement, name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function time(at: number): string {
  return new Date(at * 1000).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}
