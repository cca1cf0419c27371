// @vitest-environment jsdom
import { describe, expect, it } from 'vitest';
import { latencySeries, MetricsHistory, ratePerMinute, snapshot } from './metrics_history';

const MINUTE = 60_000;

function scrape(at: number, completed: number, buckets: [string, number][] = []) {
  const lines = buckets.map(
    ([le, count]) => `pipeline_latency_seconds_bucket{le="${le}",stage="rembg"} ${String(count)}`,
  );
  return snapshot([`imagery_jobs_total{status="COMPLETED"} ${String(completed)}`, ...lines].join('\n'), at);
}

describe('snapshot', () => {
  it('has the memory of the GPU and the age of that reading, and no age before the first', () => {
    const text = 'gpu_vram_usage_gauge{replica="r1"} 3.5\ngpu_last_answer_age_seconds 4200.5';
    expect(snapshot(text, 0)).toMatchObject({ vram: { r1: 3.5 }, gpuAge: 4200.5 });
    expect(snapshot('', 0)).toMatchObject({ vram: {}, gpuAge: null });
  });
});

describe('ratePerMinute', () => {
  const completed = (each: { entered: Record<string, number> }): number => each.entered.COMPLETED ?? 0;

  it('is the growth over the window, extrapolated to a minute', () => {
    const history = [scrape(0, 10), scrape(30_000, 11), scrape(60_000, 14), scrape(90_000, 14)];
    expect(ratePerMinute(history, completed, MINUTE)).toEqual([null, 2, 4, 3]);
  });

  it('never falls below zero when the counter is reset', () => {
    const history = [scrape(0, 100), scrape(60_000, 3)];
    expect(ratePerMinute(history, completed, MINUTE)).toEqual([null, 3]);
  });
});

describe('latencySeries', () => {
  it('counts only what ended within the window, and has a gap where nothing did', () => {
    const before: [string, number][] = [
      ['1', 100],
      ['10', 100],
      ['+Inf', 100],
    ];
    const after: [string, number][] = [
      ['1', 100],
      ['10', 102],
      ['+Inf', 102],
    ];
    const history = [scrape(0, 0, before), scrape(5000, 0, after), scrape(10 * MINUTE, 0, after)];
    const [first, second, third] = latencySeries(history, 'rembg', 0.5, 5 * MINUTE);
    expect(first).toBeNull();
    expect(second).toBeCloseTo(5.5);
    expect(third).toBeNull();
  });
});

describe('MetricsHistory', () => {
  it('keeps the newest snapshots only, infinite bounds included, over a reload', () => {
    const first = new MetricsHistory('ann', 2, window.sessionStorage);
    for (const at of [1, 2, 3])
      first.add(
        scrape(at, at, [
          ['1', 1],
          ['+Inf', 2],
        ]),
      );
    const again = new MetricsHistory('ann', 2, window.sessionStorage);
    expect(again.snapshots.map((each) => each.at)).toEqual([2, 3]);
    expect(again.snapshots[0]?.latency.rembg).toEqual([
      [1, 1],
      [Infinity, 2],
    ]);
  });

  it('shows nobody the figures of another user', () => {
    new MetricsHistory('ann', 2, window.sessionStorage).add(scrape(1, 1));
    expect(new MetricsHistory('ben', 2, window.sessionStorage).snapshots).toEqual([]);
  });

  it('works without storage', () => {
    const full = {
      getItem: () => 'broken{',
      setItem: () => {
        throw new DOMException('full');
      },
    } as unknown as Storage;
    const history = new MetricsHistory('ann', 2, full);
    history.add(scrape(1, 1));
    expect(history.snapshots).toHaveLength(1);
  });
});
