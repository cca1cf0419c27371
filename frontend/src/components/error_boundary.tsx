import { RotateCw } from 'lucide-react';
import { Component, type ReactNode } from 'react';
import { Button } from './button';
import { ProblemCard } from './feedback';

interface State {
  error: Error | null;
}

/** Shows an error in place of a part that breaks or cannot be loaded; the rest of the page keeps working. */
export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (!error) return this.props.children;
    const detail = 'This part of the page could not be shown. Reload the page: there may be a newer version.';
    return (
      <ProblemCard problem={{ code: error.name, detail }}>
        <Button
          size="sm"
          icon={<RotateCw aria-hidden className="size-3.5" />}
          onClick={() => {
            window.location.reload();
          }}
        >
          Reload the page
        </Button>
      </ProblemCard>
    );
  }
}
