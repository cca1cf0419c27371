import { useEffect } from 'react';
import { App } from './app';
import { PageSkeleton } from './components/layout';
import { takeFragmentKey } from './state/fragment_key';
import { useSignIn } from './state/session';

/** The app; first signs in with the key from the address's fragment, if there is one. */
export function Root({ fragmentKey }: { fragmentKey: string | null }) {
  const { mutate, error, isIdle, isPending } = useSignIn();
  useEffect(() => {
    if (fragmentKey) mutate(fragmentKey);
    const onHashChange = (): void => {
      const key = takeFragmentKey(window.location, window.history);
      if (key) mutate(key);
    };
    window.addEventListener('hashchange', onHashChange);
    return () => {
      window.removeEventListener('hashchange', onHashChange);
    };
  }, [fragmentKey, mutate]);
  if (isPending || (isIdle && fragmentKey !== null)) {
    return (
      <main className="mx-auto max-w-7xl px-6 py-10">
        <PageSkeleton />
      </main>
    );
  }
  return <App signInFailure={error} />;
}
