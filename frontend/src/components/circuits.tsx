import { useCircuits, useSetCircuit } from '../api/queries';
import type { CircuitState, CircuitStatus } from '../api/types';
import { DEPENDENCY_NAMES, humanize, type Tone } from '../lib/names';
import { clock, plural } from '../lib/format';
import { ActionButton } from './action_button';
import { Badge } from './badge';
import { ErrorCard, Rows } from './feedback';
import { Section } from './page';

const CIRCUIT_TONES: Record<CircuitState, Tone> = { closed: 'ok', half_open: 'warn', open: 'bad' };
const CIRCUIT_WORDS: Record<CircuitState, string> = { closed: 'Closed', half_open: 'Half-open', open: 'Open' };

/** The circuit breaker of each dependency; operators can open and close them. */
export function Circuits({ isOperator }: { isOperator: boolean }) {
  const circuits = useCircuits();
  const change = useSetCircuit();
  return (
    <Section title="Circuit breakers">
      {(circuits.error ?? change.error) && (
        <ErrorCard error={circuits.error ?? change.error} onRetry={() => void circuits.refetch()} />
      )}
      {circuits.isPending && <Rows />}
      <ul className="divide-y divide-line text-sm">
        {circuits.data?.map((circuit) => (
          <li
            key={circuit.dependency}
            data-testid={`circuit-${circuit.dependency}`}
            data-state={circuit.state}
            className="flex flex-wrap items-center justify-between gap-3 py-3"
          >
            <div className="min-w-0 flex-1 basis-48">
              <p className="flex items-center gap-2 font-medium">
                {DEPENDENCY_NAMES[circuit.dependency] ?? humanize(circuit.dependency)}
                <Badge tone={CIRCUIT_TONES[circuit.state]}>{CIRCUIT_WORDS[circuit.state]}</Badge>
              </p>
              <p className="mt-0.5 text-xs break-words text-muted">{circuitWords(circuit)}</p>
            </div>
            {isOperator && <CircuitButton circuit={circuit} change={change} />}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function CircuitButton({ circuit, change }: { circuit: CircuitStatus; change: ReturnType<typeof useSetCircuit> }) {
  const { dependency, state } = circuit;
  const name = DEPENDENCY_NAMES[dependency] ?? dependency;
  if (state === 'closed') {
    return (
      <ActionButton
        action={change}
        variables={{ dependency, state: 'open' }}
        size="sm"
        kind="danger"
        aria-label={`Open the circuit of ${name} and stop all calls`}
      >
        Open
      </ActionButton>
    );
  }
  return (
    <ActionButton
      action={change}
      variables={{ dependency, state: 'closed' }}
      size="sm"
      aria-label={`Close the circuit of ${name} and allow calls`}
    >
      Close
    </ActionButton>
  );
}

function circuitWords(circuit: CircuitStatus): string {
  if (circuit.state === 'closed') {
    return circuit.failures > 0
      ? `${plural(circuit.failures, 'failure')} in a row: ${circuit.last_error ?? ''}`
      : 'Calls go through.';
  }
  if (circuit.forced)
    return `Opened by hand${circuit.changed_at ? ` at ${clock(circuit.changed_at)}` : ''}. Jobs wait until somebody closes it.`;
  const until = circuit.probe_at ? ` The next probe is at ${clock(circuit.probe_at)}.` : '';
  return `${circuit.last_error ?? 'Calls keep failing'}; jobs wait.${until}`;
}
