/**
 * The key of a link such as `/#key=igp_...`. It is taken out of the address bar and of the history at once,
 * so that it is neither seen nor shared with the address.
 */
export function takeFragmentKey(location: Location, history: History): string | null {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const key = fragment.get('key')?.trim();
  if (!key) return null;
  history.replaceState(history.state, '', `${location.pathname}${location.search}`);
  return key;
}
