import { describe, expect, it, vi } from 'vitest';
import { patiently } from './load_part';

describe('patiently', () => {
  const pauses: number[] = [];
  const sleep = (ms: number): Promise<void> => {
    pauses.push(ms);
    return Promise.resolve();
  };

  it('tries again with growing pauses until the network is back', async () => {
    const load = vi.fn<() => Promise<string>>();
    load.mockRejectedValueOnce(new TypeError()).mockRejectedValueOnce(new TypeError()).mockResolvedValue('part');
    await expect(patiently(load, sleep)).resolves.toBe('part');
    expect(pauses).toEqual([500, 1000]);
  });

  it('gives up in the end', async () => {
    const load = vi.fn<() => Promise<string>>().mockRejectedValue(new TypeError('gone'));
    await expect(patiently(load, sleep)).rejects.toThrow('gone');
    expect(load).toHaveBeenCalledTimes(6);
  });
});
