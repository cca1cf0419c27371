import { useEffect, useState } from 'react';
import { App } from './app';
import { Button } from './components/button';
import { PageSkeleton } from './components/layout';
import { Logo } from './components/logo';
import { PageHeading } from './components/page';
import { takeFragmentKey } from './state/fragment_key';
import { useMe, useSignIn } from './state/session';

/**
 * The app; first signs in with the key from the address's fragment, if there is one.
 * A link must not silently change who is signed in: photos would go to somebody else's account.
 */
export function Root({ fragmentKey }: { fragmentKey: string | null }) {
  const [offered, setOffered] = useState(fragmentKey);
  const me = useMe();
  const { mutate, error, isPending } = useSignIn();
  useEffect(() => {
    const onHashChange = (): void => {
      const key = takeFragmentKey(window.location, window.history);
      if (key) setOffered(key);
    };
    window.addEventListener('hashchange', onHashChange);
    return () => {
      window.removeEventListener('hashchange', onHashChange);
    };
  }, []);
  const signedIn = me.data ?? null;
  const forget = (): void => {
    setOffered(null);
  };
  const isFree = offered !== null && !me.isPending && signedIn === null && !isPending;
  useEffect(() => {
    if (isFree) mutate(offered, { onSettled: forget });
  }, [isFree, offered, mutate]);
  if (offered !== null && signedIn !== null && !isPending) {
    return (
      <ChangeOfUser
        name={signedIn.name}
        onStay={forget}
        onChange={() => {
          mutate(offered, { onSettled: forget });
        }}
      />
    );
  }
  if (isPending || offered !== null) {
    return (
      <main className="mx-auto max-w-7xl px-6 py-10">
        <PageSkeleton />
      </main>
    );
  }
  return <App signInFailure={error} />;
}

interface ChangeProps {
  name: string;
  onChange: () => void;
  onStay: () => void;
}

function ChangeOfUser({ name, onChange, onStay }: ChangeProps) {
  return (
    <main id="main" className="mx-auto flex min-h-[85dvh] w-full max-w-md flex-col justify-center px-4 py-10">
      <Logo className="mb-6 size-11" />
      <PageHeading title="Use the link's key?" tab="Sign in">
        You are signed in as {name}. This link signs you in with another key: what you send from then on belongs to that
        key&apos;s user.
      </PageHeading>
      <div className="flex flex-wrap gap-3">
        <Button kind="primary" data-testid="stay" onClick={onStay}>
          Stay {name}
        </Button>
        <Button data-testid="change-user" onClick={onChange}>
          Use the link&apos;s key
        </Button>
      </div>
    </main>
  );
}
