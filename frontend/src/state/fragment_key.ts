/**
 * The key of a link such as `/#key=igp_...`. Removes it from the address bar and the history at once,
 * so that nobody sees it there or shares it with the address.
 */
export function takeFragmentKey(location: Location, history: History): string | null {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const key = fragment.get('key')?.trim();
  if (!key) return null;
  history.replaceState(history.state, '', `${location.pathname}${location.search}`);
  return key;
}
