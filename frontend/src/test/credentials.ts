import type { Credentials, Ingredient, Manifest } from '../api/types';

export function manifest(change: Partial<Manifest> = {}): Manifest {
  return {
    state: 'trusted',
    reasons: [],
    signer: 'Example Studio pictures',
    issuer: 'Example Studio',
    signed_at: '2026-11-24T12:00:00Z',
    claim_generator: 'imagery 1.0',
    digital_source_types: [],
    actions: [
      {
        action: 'c2pa.color_adjustments',
        software_agent: 'realesrgan 4x',
        digital_source_type: 'http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced',
        when: null,
      },
    ],
    ...change,
  };
}

export function ingredient(change: Partial<Ingredient> = {}): Ingredient {
  return {
    depth: 1,
    relationship: 'componentOf',
    title: 'photo',
    content_type: 'image/jpeg',
    state: 'none',
    reasons: [],
    manifest: null,
    ...change,
  };
}

export function credentials(change: Partial<Credentials> = {}): Credentials {
  return {
    state: 'trusted',
    reasons: [],
    manifest: manifest(),
    ingredients: [ingredient()],
    is_cut: false,
    says_ai: true,
    ...change,
  };
}
