import { ApiError, NetworkError, parseJson, toProblem } from '../api/errors';
import { connection } from '../state/connection';

const KEPT_MS = 60_000;

/**
 * Saves a picture of the API as a file; the page stays. Throws `ApiError`, `NetworkError`.
 *
 * A store of files returns the bytes: they are saved as `name`, to which the kind of picture is added. A store
 * with links sends the browser to its own origin, which this page may not read: the browser follows by itself,
 * and the link says what the file is called.
 */
export async function download(url: string, name: string): Promise<void> {
  const address = `${url}?download=1`;
  let response: Response;
  try {
    response = await fetch(address, { credentials: 'same-origin', redirect: 'manual' });
  } catch {
    connection.lost();
    throw new NetworkError();
  }
  connection.reached();
  if (response.type === 'opaqueredirect') {
    // no `download` here: with it, the browser would open what another origin does not call a file in this tab
    follow(address, { target: '_blank' });
    return;
  }
  if (!response.ok) throw new ApiError(toProblem(response.status, parseJson(await response.text())));
  const picture = await response.blob();
  const bytes = URL.createObjectURL(picture);
  follow(bytes, { download: withKind(name, picture.type) });
  setTimeout(() => {
    URL.revokeObjectURL(bytes);
  }, KEPT_MS);
}

/** `coffee-placed.png`; a name with the right kind stays. */
export function withKind(name: string, type: string): string {
  const [, kind] = /^image\/([a-z0-9]+)/.exec(type) ?? [];
  if (!kind) return name;
  const kinds = kind === 'jpeg' ? ['jpeg', 'jpg'] : [kind];
  return kinds.some((each) => name.toLowerCase().endsWith(`.${each}`)) ? name : `${name}.${kind}`;
}

function follow(href: string, how: { download?: string; target?: string }): void {
  const link = document.createElement('a');
  Object.assign(link, { href, rel: 'noreferrer', ...how });
  document.body.append(link);
  link.click();
  link.remove();
}
