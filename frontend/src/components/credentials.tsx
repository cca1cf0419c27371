import { useProvenance } from '../api/queries';
import type { CredentialAction, Credentials, CredentialsState, DeliveredCredentials, Manifest } from '../api/types';
import {
  actionWords,
  CREDENTIALS_TONES,
  CREDENTIALS_WORDS,
  credentialsSentence,
  ingredientWords,
  sourceWords,
} from '../lib/credentials_words';
import { dayAndClock } from '../lib/format';
import { Badge } from './badge';
import { QueryError } from './feedback';

/** Who signed a job's placed picture; says so too where nobody did. `known`: what the job's status says of it. */
export function JobCredentials({ jobId, known }: { jobId: string; known: DeliveredCredentials | null }) {
  const query = useProvenance(jobId);
  return (
    <div className="px-1 pb-5">
      {query.isPending && isState(known) && (
        <p className="text-sm">
          <StateBadge state={known} isTop />
        </p>
      )}
      {query.data !== undefined && <CredentialsDisclosure credentials={query.data} />}
      <QueryError query={query} />
    </div>
  );
}

function isState(known: DeliveredCredentials | null): known is DeliveredCredentials & CredentialsState {
  return known !== null && known in CREDENTIALS_WORDS;
}

/** What a file says of where it comes from: the state and one sentence, then the chain for who asks. */
export function CredentialsDisclosure({ credentials }: { credentials: Credentials | null }) {
  const state = credentials?.state ?? 'none';
  const head = (
    <>
      <StateBadge state={state} isTop />
      {credentials?.says_ai && <Badge>Made with AI</Badge>}
      <span className="min-w-0">{credentialsSentence(credentials)}</span>
    </>
  );
  const rowClass = 'flex flex-wrap items-center gap-x-3 gap-y-2 text-sm';
  const hasDetails = credentials && (credentials.manifest ?? credentials.reasons.length > 0);
  if (!hasDetails) {
    return (
      <p data-testid="credentials" data-state={state} className={rowClass}>
        {head}
      </p>
    );
  }
  return (
    <details data-testid="credentials" data-state={state} className="group">
      <summary className={rowClass}>
        {head}
        <span className="text-accent underline underline-offset-2">
          <span className="group-open:hidden">Details</span>
          <span className="hidden group-open:inline">Hide details</span>
        </span>
      </summary>
      <Chain credentials={credentials} />
    </details>
  );
}

function StateBadge({ state, isTop = false }: { state: CredentialsState; isTop?: boolean }) {
  return (
    <Badge tone={CREDENTIALS_TONES[state]}>
      {isTop && (
        <>
          <span aria-hidden className="font-bold">
            CR
          </span>
          <span className="sr-only">Content Credentials: </span>
        </>
      )}
      {CREDENTIALS_WORDS[state]}
    </Badge>
  );
}

function Chain({ credentials }: { credentials: Credentials }) {
  const { manifest, ingredients, reasons, is_cut: isCut } = credentials;
  return (
    <>
      <ol className="mt-3 flex flex-col gap-3" aria-label="Chain of statements">
        <li>
          <Statement title="This picture" state={manifest?.state ?? credentials.state} manifest={manifest}>
            <Reasons codes={manifest ? manifest.reasons : reasons} />
          </Statement>
        </li>
        {ingredients.map((each, index) => (
          // the list never changes its order; a title may come twice
          <li key={index} style={{ marginInlineStart: `${String(Math.min(each.depth, 4) * 0.75)}rem` }}>
            <Statement title={ingredientWords(each)} state={each.state} manifest={each.manifest}>
              <Reasons codes={each.reasons} />
            </Statement>
          </li>
        ))}
      </ol>
      {isCut && <p className="mt-3 text-xs text-muted">There is more than is listed.</p>}
    </>
  );
}

interface StatementProps {
  title: string;
  state: CredentialsState;
  manifest: Manifest | null;
  children: React.ReactNode;
}

function Statement({ title, state, manifest, children }: StatementProps) {
  return (
    <div className="border-l-2 border-line pl-3 text-sm">
      <p className="flex flex-wrap items-center gap-2 font-medium">
        <span className="min-w-0 break-words">{title}</span>
        <StateBadge state={state} />
      </p>
      {manifest ? <ManifestRows manifest={manifest} /> : <p className="mt-1 text-xs text-muted">Not signed.</p>}
      {children}
    </div>
  );
}

function ManifestRows({ manifest }: { manifest: Manifest }) {
  const { signer, issuer, signed_at: at, claim_generator: program, actions } = manifest;
  const by = [signer, issuer && issuer !== signer ? `(${issuer})` : null].filter(Boolean).join(' ');
  return (
    <dl className="mt-1 grid grid-cols-[4.5rem_1fr] gap-x-3 gap-y-1">
      <dt className="text-muted">Signed by</dt>
      <dd className="min-w-0 break-words">
        {by || 'Nobody that is named'}
        {at && <span className="text-muted">, {dayAndClock(at)}</span>}
      </dd>
      {program && (
        <>
          <dt className="text-muted">Program</dt>
          <dd className="min-w-0 break-words">{program}</dd>
        </>
      )}
      {actions.length > 0 && (
        <>
          <dt className="text-muted">Steps</dt>
          <dd className="min-w-0 break-words">
            <ol className="flex flex-col gap-1">
              {actions.map((action, index) => (
                <li key={index}>{doneWords(action)}</li>
              ))}
            </ol>
          </dd>
        </>
      )}
    </dl>
  );
}

function doneWords({ action, software_agent: agent, digital_source_type: source }: CredentialAction): string {
  return [actionWords(action), agent && ` by ${agent}`, source && `, ${sourceWords(source)}`].filter(Boolean).join('');
}

function Reasons({ codes }: { codes: readonly string[] }) {
  if (codes.length === 0) return null;
  return (
    <p className="mt-1 text-xs break-words text-muted">
      Reported: <code className="font-mono">{codes.join(', ')}</code>
    </p>
  );
}
