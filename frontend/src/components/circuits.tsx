import { useState } from 'react';
import { useCircuits, useJobs, useSetCircuit } from '../api/queries';
import type { CircuitState, CircuitStatus } from '../api/types';
import { DEPENDENCY_NAMES, humanize, type Tone } from '../lib/names';
import { clock, plural } from '../lib/format';
import { ActionButton } from './action_button';
import { Badge } from './badge';
import { Button } from './button';
import { Dialog } from './dialog';
import { ErrorCard, Rows } from './feedback';
import { Section } from './page';

const CIRCUIT_TONES: Record<CircuitState, Tone> = { closed: 'ok', half_open: 'warn', open: 'bad' };
const CIRCUIT_WORDS: Record<CircuitState, string> = { closed: 'Calls go through', half_open: 'Trying', open: 'Paused' };

/** The circuit breaker of each dependency; operators can pause and resume the calls. */
export function Circuits({ isOperator }: { isOperator: boolean }) {
  const circuits = useCircuits();
  const change = useSetCircuit();
  return (
    <Section title="Calls to other services">
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
  const [isAsking, setIsAsking] = useState(false);
  const { dependency, state } = circuit;
  const name = DEPENDENCY_NAMES[dependency] ?? dependency;
  if (state !== 'closed') {
    return (
      <ActionButton
        action={change}
        variables={{ dependency, state: 'closed' }}
        size="sm"
        aria-label={`Resume calls to ${name}`}
      >
        Resume calls
      </ActionButton>
    );
  }
  return (
    <>
      <Button
        size="sm"
        kind="danger"
        aria-label={`Pause calls to ${name}`}
        onClick={() => {
          setIsAsking(true);
        }}
      >
        Pause calls
      </Button>
      {isAsking && (
        <PauseQuestion
          name={name}
          onPause={() => {
            change.mutate({ dependency, state: 'open' });
          }}
          onClose={() => {
            setIsAsking(false);
          }}
        />
      )}
    </>
  );
}

const COUNTED = 100;

function PauseQuestion({ name, onPause, onClose }: { name: string; onPause: () => void; onClose: () => void }) {
  const open = useJobs({ states: ['QUEUED', 'VALIDATING', 'RUNNING'], limit: COUNTED }).data?.pages[0];
  const count = open && `${open.cursor ? 'At least ' : ''}${plural(open.jobs.length, 'job')}`;
  return (
    <Dialog
      title={`Pause calls to ${name}?`}
      closeWord="Keep calling"
      onClose={onClose}
      actions={
        <Button
          kind="danger"
          data-testid="pause"
          onClick={() => {
            onPause();
            onClose();
          }}
        >
          Pause calls
        </Button>
      }
    >
      <p>Every job that needs {name} waits until somebody resumes the calls. What has begun is finished.</p>
      <p className="mt-2 min-h-5 text-muted">{count && `${count} in progress now.`}</p>
    </Dialog>
  );
}

function circuitWords(circuit: CircuitStatus): string {
  if (circuit.state === 'closed') {
    return circuit.failures > 0
      ? `${plural(circuit.failures, 'failure')} in a row: ${circuit.last_error ?? ''}`
      : 'No failures.';
  }
  if (circuit.forced)
    return `Paused by hand${circuit.changed_at ? ` at ${clock(circuit.changed_at)}` : ''}. Jobs wait until somebody resumes the calls.`;
  const until = circuit.probe_at ? ` The next try is at ${clock(circuit.probe_at)}.` : '';
  return `${circuit.last_error ?? 'Calls keep failing'}; jobs wait.${until}`;
}
