import { Button, type ButtonProps } from './button';

interface Props<Variables> extends Omit<ButtonProps, 'disabled' | 'onClick'> {
  action: { mutate: (variables: Variables) => void; isPending: boolean };
  variables: NoInfer<Variables>;
}

/** A button that changes something on the server; disabled until the server has responded. */
export function ActionButton<Variables>({ action, variables, ...rest }: Props<Variables>) {
  return (
    <Button
      {...rest}
      disabled={action.isPending}
      onClick={() => {
        action.mutate(variables);
      }}
    />
  );
}
