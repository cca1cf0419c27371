// @vitest-environment jsdom
import { afterEach, describe, expect, it } from 'vitest';
import { takeFragmentKey } from './fragment_key';

afterEach(() => {
  window.history.replaceState(null, '', '/');
});

describe('takeFragmentKey', () => {
  it('takes the key out of the address without leaving an entry in the history', () => {
    window.history.replaceState(null, '', '/jobs?state=FAILED#key=igp_secret-1_2');
    const entries = window.history.length;
    expect(takeFragmentKey(window.location, window.history)).toBe('igp_secret-1_2');
    expect(window.location.href).not.toContain('igp_secret');
    expect(window.location.pathname + window.location.search + window.location.hash).toBe('/jobs?state=FAILED');
    expect(window.history.length).toBe(entries);
  });

  it.each(['', '#', '#key=', '#section-2'])('leaves %j alone', (hash) => {
    window.history.replaceState(null, '', `/jobs${hash}`);
    expect(takeFragmentKey(window.location, window.history)).toBeNull();
    expect(window.location.hash).toBe(hash === '#' ? '' : hash);
  });
});
