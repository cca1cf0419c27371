import { useHealth } from '../api/queries';

/** True while a simulator answers for the image model: its pictures are no real ones, and no money is spent. */
export function useSimulated(): boolean {
  const reason = useHealth().data?.dependencies.nano_banana?.reason ?? '';
  return reason.startsWith('simulated');
}
