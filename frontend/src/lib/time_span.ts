const MIN_SPAN_S = 60;

/** What the axis of times shows, in seconds: a minute or more. Of a single time, uPlot would make a span of years. */
export function timeSpan(times: number, min: number, max: number): [number, number] {
  const last = times === 1 ? min : max;
  return [Math.min(min, last - MIN_SPAN_S), last];
}
