import { describe, expect, it } from 'vitest';
import type { GuardrailLimits } from '../api/types';
import { photoProblem } from './photo_limits';

const LIMITS: GuardrailLimits = {
  formats: ['PNG', 'JPEG', 'HEIF'],
  max_bytes: 1000,
  min_side_px: 32,
  max_side_px: 8192,
  max_megapixels: 12.5,
  working_megapixels: 12.5,
  max_frames: 1,
  max_prompt_chars: 2000,
  aspect_ratios: [],
  thinking_levels: [],
};

const file = (size: number, type = 'image/jpeg'): File => new File(['x'.repeat(size)], 'a', { type });
const px = (width: number, height: number) => ({ width, height });

describe('photoProblem', () => {
  it.each([
    ['an empty file', file(0), undefined, 'The file is empty'],
    ['another type', file(9, 'image/gif'), undefined, 'Save it as JPEG or PNG'],
    ['too many bytes', file(1001), undefined, 'at most 1.0 kB'],
    ['too few pixels', file(9), px(31, 400), '31 × 400 px is too small: at least 32 px'],
    ['a side that is too long', file(9), px(8193, 100), 'at most 8192 px'],
    ['too many pixels', file(9), px(5000, 2501), 'at most 12.5 megapixels'],
  ])('refuses %s', (_, photo, size, words) => {
    expect(photoProblem(photo, size, LIMITS)).toContain(words);
  });

  it.each([
    ['the largest', file(1000), px(5000, 2500), LIMITS],
    ['one that the browser cannot read', file(9, 'image/heic'), undefined, LIMITS],
    ['one without a type', file(9, ''), undefined, LIMITS],
    ['any while the limits are unknown', file(1001, 'image/gif'), undefined, undefined],
  ])('lets %s pass', (_, photo, size, limits) => {
    expect(photoProblem(photo, size, limits)).toBeNull();
  });
});
