import type { Credentials, CredentialsState, Ingredient } from '../api/types';
import { humanize, type Tone } from './names';

export const CREDENTIALS_TONES: Record<CredentialsState, Tone> = {
  trusted: 'ok',
  valid: 'accent',
  broken: 'bad',
  none: 'neutral',
};

export const CREDENTIALS_WORDS: Record<CredentialsState, string> = {
  trusted: 'Trusted',
  valid: 'Valid',
  broken: 'Broken',
  none: 'None',
};

const SOURCE_WORDS: Record<string, string> = {
  trainedAlgorithmicMedia: 'made by an AI model',
  compositeWithTrainedAlgorithmicMedia: 'partly made by an AI model',
  algorithmicallyEnhanced: 'enhanced by a program',
  digitalCapture: 'taken by a camera',
};

const RELATIONSHIPS: Record<string, string> = {
  parentOf: 'Made from',
  componentOf: 'Contains',
  inputTo: 'Input',
};

// as this pipeline names its sources; others choose titles freely
const TITLES: Record<string, string> = {
  answer: 'the answer of the image model',
  photo: 'the photo',
  clean_photo: 'the cleaned photo',
};

/** One sentence for a person. `null` is a picture that is not signed. */
export function credentialsSentence(credentials: Credentials | null): string {
  if (!credentials) return 'This picture is not signed.';
  const { state, manifest } = credentials;
  const signer = manifest?.signer ?? 'somebody without a name';
  switch (state) {
    case 'none':
      return 'The file says nothing of where it comes from, as most files do.';
    case 'trusted':
      return `Signed by ${signer}, and not changed since.`;
    case 'valid':
      return manifest?.state === 'valid'
        ? `Signed by ${signer}, who is not on the trust list here, and not changed since.`
        : `Signed by ${signer}, and not changed since; somebody in the chain is not on the trust list here.`;
    case 'broken':
      return !manifest || manifest.state === 'broken'
        ? 'The file was changed after it was signed, or its statement is damaged.'
        : 'A picture that it was made from was changed after it was signed.';
  }
}

/** `c2pa.color_adjustments` as people read it. */
export function actionWords(action: string): string {
  return humanize(action.slice(action.lastIndexOf('.') + 1));
}

/** A term of IPTC as people read it. */
export function sourceWords(term: string): string {
  const name = term.slice(term.lastIndexOf('/') + 1);
  return SOURCE_WORDS[name] ?? name.replace(/([A-Z])/g, ' $1').toLowerCase();
}

/** `Made from: the photo`. */
export function ingredientWords({ relationship, title }: Pick<Ingredient, 'relationship' | 'title'>): string {
  const name = title ? (TITLES[title] ?? title) : 'a picture without a name';
  return `${RELATIONSHIPS[relationship] ?? relationship}: ${name}`;
}
