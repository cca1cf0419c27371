import type { GuardrailLimits } from '../api/types';
import { bytes } from './format';
import type { Size } from './viewport';

// what browsers call some of the formats that the API names
const NAMES: Record<string, string> = { JPG: 'JPEG', HEIC: 'HEIF', 'X-MS-BMP': 'BMP' };
const MEGA = 1_000_000;

/**
 * Why the API would refuse a photo, in a sentence with what to do; null if nothing is known against it.
 * `size` is in pixels; undefined where the browser cannot read the picture.
 */
export function photoProblem(file: File, size: Size | undefined, limits: GuardrailLimits | undefined): string | null {
  if (file.size === 0) return 'The file is empty. Choose another one.';
  if (!limits) return null;
  if (file.type && !limits.formats.includes(formatOf(file)))
    return 'This is no picture that is taken. Save it as JPEG or PNG.';
  if (file.size > limits.max_bytes)
    return `${bytes(file.size)} are too many: at most ${bytes(limits.max_bytes)}. Save it smaller.`;
  if (!size) return null;
  const { width, height } = size;
  const words = `${String(width)} × ${String(height)} px`;
  if (Math.min(width, height) < limits.min_side_px)
    return `${words} is too small: at least ${String(limits.min_side_px)} px a side. Send a larger picture.`;
  if (Math.max(width, height) > limits.max_side_px)
    return `${words} is too large: at most ${String(limits.max_side_px)} px a side. Scale it down.`;
  if (width * height > limits.max_megapixels * MEGA)
    return `${words} is too large: at most ${String(limits.max_megapixels)} megapixels. Scale it down.`;
  return null;
}

/** `JPEG` for `image/jpeg`; as the API names formats. */
function formatOf(file: File): string {
  const name = file.type.replace('image/', '').toUpperCase();
  return NAMES[name] ?? name;
}
