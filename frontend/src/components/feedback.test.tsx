import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it, vi } from 'vitest';
import { ApiError, toProblem } from '../api/errors';
import { ErrorCard } from './feedback';

const REJECTION = {
  type: 'about:blank',
  title: 'Unprocessable Content',
  status: 422,
  code: 'too_dark',
  detail: 'The picture is too dark.',
  errors: [
    {
      name: 'exposure',
      passed: false,
      measured: '3 to 12 of 255',
      limit: 'highlights from 24',
      code: 'too_dark',
      message: 'Nearly black.',
    },
  ],
};

describe('ErrorCard', () => {
  it('says the reason once, with the failed check, the way out and the request id, and no title of HTTP', () => {
    render(<ErrorCard error={new ApiError(toProblem(422, REJECTION), 'req-42')} />);
    const card = screen.getByRole('alert');
    for (const text of ['The picture is too dark.', 'Take the photo with more light.', 'too_dark', 'req-42']) {
      expect(card).toHaveTextContent(text);
    }
    expect(card).not.toHaveTextContent('Unprocessable Content');
    const check = screen.getByTestId('check-row');
    expect(check).toHaveAttribute('data-outcome', 'fail');
    expect(check).toHaveTextContent('3 to 12 of 255');
    expect(check).toHaveTextContent('limit highlights from 24');
  });

  it('offers to try again where that may help', async () => {
    const onRetry = vi.fn();
    render(<ErrorCard error={new Error('The server could not be reached.')} onRetry={onRetry} />);
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(onRetry).toHaveBeenCalledOnce();
  });

  it.each([
    [404, 0],
    [422, 0],
    [503, 1],
  ])('has for a response of %i so many buttons to try again: %i', (status, buttons) => {
    render(<ErrorCard error={new ApiError(toProblem(status, null))} onRetry={vi.fn()} />);
    expect(screen.queryAllByRole('button', { name: 'Try again' })).toHaveLength(buttons);
  });
});

describe('toProblem', () => {
  it('makes a problem from a response that holds none, such as that of a proxy', () => {
    expect(toProblem(502, null)).toMatchObject({ status: 502, code: 'http_502' });
  });
});
