import { type SyntheticEvent, useState } from 'react';
import { Button } from '../components/button';
import { ErrorCard } from '../components/feedback';
import { Logo } from '../components/logo';
import { PageHeading } from '../components/page';
import { useSignIn } from '../state/session';

interface Props {
  /** The error, if signing in with the key from the address failed. */
  failure?: unknown;
}

export function SignInPage({ failure }: Props) {
  const [key, setKey] = useState('');
  const signIn = useSignIn();
  const error = signIn.error ?? (signIn.isIdle ? failure : null);
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (key.trim()) signIn.mutate(key.trim());
  };
  return (
    <main id="main" className="mx-auto flex min-h-[85dvh] w-full max-w-md flex-col justify-center px-4 py-10">
      <Logo className="mb-6 size-11" />
      <PageHeading title="Sign in" tab="Sign in">
        See your photos cut out, upscaled and placed in a scene, step by step.
      </PageHeading>
      <form data-testid="sign-in-form" onSubmit={onSubmit} className="card flex flex-col gap-4 p-6">
        <div>
          <label htmlFor="api-key" className="mb-1.5 block text-sm font-medium">
            API key
          </label>
          <input
            id="api-key"
            data-testid="api-key"
            type="password"
            autoComplete="current-password"
            spellCheck={false}
            placeholder="igp_..."
            aria-describedby="api-key-hint"
            className="field font-mono"
            value={key}
            onChange={(event) => {
              setKey(event.target.value);
            }}
          />
          <p id="api-key-hint" className="mt-1.5 text-xs text-muted">
            The browser keeps a session and not the key. <code>make run</code> prints a link that signs you in.
          </p>
        </div>
        {Boolean(error) && <ErrorCard error={error} />}
        <Button kind="primary" type="submit" data-testid="sign-in" disabled={!key.trim() || signIn.isPending}>
          {signIn.isPending ? 'Signing in' : 'Sign in'}
        </Button>
      </form>
    </main>
  );
}
