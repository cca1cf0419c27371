import { describe, expect, it } from 'vitest';
import { byLabel, type Buckets, histogram, parseExposition, quantile, since, total } from './prometheus';

const TEXT = `# HELP imagery_jobs_total Jobs by state.
# TYPE imagery_jobs_total counter
imagery_jobs_total{status="COMPLETED"} 9.0
imagery_jobs_total{status="FAILED"} 2.0 1764000000000
odd{path="C:\\\\x",said="\\"hi\\"\\nthere",list="a,b}c"} 1
nano_banana_spend_usd_total 0.48
not a sample
gauge_nan NaN
pipeline_latency_seconds_bucket{le="0.5",stage="rembg"} 2.0
pipeline_latency_seconds_bucket{le="+Inf",stage="rembg"} 4.0
pipeline_latency_seconds_bucket{le="1.0",stage="rembg"} 4.0
`;

describe('parseExposition', () => {
  const samples = parseExposition(TEXT);

  it('reads names, labels, values, and passes over a time and what is no sample', () => {
    expect(byLabel(samples, 'imagery_jobs_total', 'status')).toEqual({ COMPLETED: 9, FAILED: 2 });
    expect(total(samples, 'nano_banana_spend_usd_total')).toBe(0.48);
    expect(samples.map((sample) => sample.name)).not.toContain('not');
    expect(samples.map((sample) => sample.name)).not.toContain('gauge_nan');
  });

  it('undoes escapes, also where a value holds commas and braces', () => {
    expect(samples.find((sample) => sample.name === 'odd')?.labels).toEqual({
      path: 'C:\\x',
      said: '"hi"\nthere',
      list: 'a,b}c',
    });
  });

  it('distinguishes a missing metric from one that is zero', () => {
    expect(total(samples, 'missing_total')).toBeNull();
  });

  it('orders the buckets of a histogram by their bound', () => {
    expect(histogram(samples, 'pipeline_latency_seconds', 'stage')).toEqual({
      rembg: [
        [0.5, 2],
        [1, 4],
        [Infinity, 4],
      ],
    });
  });
});

describe('quantile', () => {
  // ten observations: 4 up to 1 s, 5 more up to 2 s, one above 5 s
  const buckets: Buckets = [
    [1, 4],
    [2, 9],
    [5, 9],
    [Infinity, 10],
  ];

  it('is linear within its bucket, as histogram_quantile is', () => {
    expect(quantile(0.5, buckets)).toBeCloseTo(1.2);
    expect(quantile(0.2, buckets)).toBeCloseTo(0.5);
    expect(quantile(0.9, buckets)).toBeCloseTo(2);
  });

  it('is the highest finite bound for what lies above all of them', () => {
    expect(quantile(0.99, buckets)).toBe(5);
  });

  it('is null without observations', () => {
    expect(
      quantile(0.5, [
        [1, 0],
        [Infinity, 0],
      ]),
    ).toBeNull();
    expect(quantile(0.5, [])).toBeNull();
  });
});

describe('since', () => {
  it('subtracts bucket by bucket', () => {
    expect(
      since(
        [
          [1, 5],
          [Infinity, 8],
        ],
        [
          [1, 2],
          [Infinity, 8],
        ],
      ),
    ).toEqual([
      [1, 3],
      [Infinity, 0],
    ]);
  });

  it('counts from zero after a reset of the counters', () => {
    expect(
      since(
        [
          [1, 1],
          [Infinity, 2],
        ],
        [
          [1, 2],
          [Infinity, 8],
        ],
      ),
    ).toEqual([
      [1, 1],
      [Infinity, 2],
    ]);
  });
});
