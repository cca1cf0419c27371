import { describe, expect, it } from 'vitest';
import { withKind } from './download';

describe('withKind', () => {
  it.each([
    ['coffee-placed', 'image/png', 'coffee-placed.png'],
    ['coffee.jpg', 'image/jpeg', 'coffee.jpg'],
    ['COFFEE.JPG', 'image/jpeg', 'COFFEE.JPG'],
    ['coffee.jpg', 'image/png', 'coffee.jpg.png'],
    ['coffee', 'application/octet-stream', 'coffee'],
  ])('names %s of type %s as %s', (name, type, expected) => {
    expect(withKind(name, type)).toBe(expected);
  });
});
