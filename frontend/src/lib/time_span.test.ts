import { describe, expect, it } from 'vitest';
import { timeSpan } from './time_span';

describe('timeSpan', () => {
  it('ends at a single time, whatever uPlot makes of it', () => {
    expect(timeSpan(1, 1000, 86_401_000)).toEqual([940, 1000]);
  });

  it('shows a minute or more', () => {
    expect(timeSpan(2, 1000, 1005)).toEqual([945, 1005]);
    expect(timeSpan(90, 1000, 1450)).toEqual([1000, 1450]);
  });
});
