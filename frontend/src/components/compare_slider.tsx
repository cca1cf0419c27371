import type { KeyboardEvent, ReactNode } from 'react';
import { Handle, HandleRoot, Item, Provider, Root } from 'react-compare-slider/components';
import { useReactCompareSlider } from 'react-compare-slider/hooks';

const JUMPS: Record<string, { to: number; isAbsolute: boolean }> = {
  Home: { to: 0, isAbsolute: true },
  End: { to: 100, isAbsolute: true },
  PageUp: { to: 20, isAbsolute: false },
  PageDown: { to: -20, isAbsolute: false },
};

interface Props {
  isMovable: boolean;
  before: ReactNode;
  after: ReactNode;
}

/** Two layers, one over the other, with a divider that pointer and keys move. */
export function CompareSlider({ isMovable, before, after }: Props) {
  const slider = useReactCompareSlider({ onlyHandleDraggable: isMovable, keyboardIncrement: '5%' });
  const onKeyDown = (event: KeyboardEvent): void => {
    const jump = JUMPS[event.key];
    if (jump === undefined) return;
    event.preventDefault();
    slider.setPosition(jump.isAbsolute ? jump.to : slider.position.current + jump.to);
  };
  return (
    <Provider {...slider}>
      <Root className="size-full" style={{ width: '100%', height: '100%', touchAction: isMovable ? 'none' : 'pan-y' }}>
        <Item item="itemOne">{before}</Item>
        <Item item="itemTwo">{after}</Item>
        <HandleRoot
          data-testid="compare-handle"
          aria-label="Divider between before and after"
          className="group"
          onKeyDown={onKeyDown}
        >
          <Handle
            className="group-focus-visible:[&>div:nth-child(2)]:outline-4 group-focus-visible:[&>div:nth-child(2)]:outline-offset-2 group-focus-visible:[&>div:nth-child(2)]:outline-accent"
            buttonStyle={{
              width: '2.75rem',
              height: '2.75rem',
              backgroundColor: 'rgba(20, 22, 28, 0.55)',
              backdropFilter: 'none',
            }}
          />
        </HandleRoot>
      </Root>
    </Provider>
  );
}
