import { type ReactNode, useState } from 'react';
import type { PictureName } from '../api/types';
import { PICTURE_NAMES } from '../lib/names';
import { CompareSlider } from './compare_slider';
import { Viewer, type ViewerLook } from './viewer';

interface Props extends ViewerLook {
  jobId: string;
  /** The existing pictures, in the order of the pipeline. */
  pictures: readonly PictureName[];
  children: ReactNode;
}

/** Compares any two pictures of a job: one over the other with a divider, down to single pixels. */
export function Compare({ jobId, pictures, children, ...look }: Props) {
  const [chosen, setChosen] = useState<{ before?: PictureName; after?: PictureName }>({});
  const before = chosen.before && pictures.includes(chosen.before) ? chosen.before : (pictures[0] ?? 'source');
  const after = chosen.after && pictures.includes(chosen.after) ? chosen.after : (pictures.at(-1) ?? 'source');
  return (
    <Viewer
      key={`${before}/${after}`}
      {...look}
      jobId={jobId}
      picture={before}
      against={after}
      testId="compare"
      slider={CompareSlider}
    >
      {children}
      <div className="flex flex-wrap items-center gap-3">
        <Choice
          label="Before"
          testId="compare-before"
          value={before}
          pictures={pictures}
          onChange={(name) => {
            setChosen((now) => ({ ...now, before: name }));
          }}
        />
        <Choice
          label="After"
          testId="compare-after"
          value={after}
          pictures={pictures}
          onChange={(name) => {
            setChosen((now) => ({ ...now, after: name }));
          }}
        />
      </div>
    </Viewer>
  );
}

function Choice({
  label,
  testId,
  value,
  pictures,
  onChange,
}: {
  label: string;
  testId: string;
  value: PictureName;
  pictures: readonly PictureName[];
  onChange: (name: PictureName) => void;
}) {
  return (
    <label className="flex items-center gap-2 text-xs font-medium text-muted">
      {label}
      <select
        data-testid={testId}
        className="field w-auto! py-1! text-sm"
        value={value}
        onChange={(event) => {
          onChange(event.target.value as PictureName);
        }}
      >
        {pictures.map((name) => (
          <option key={name} value={name}>
            {PICTURE_NAMES[name]}
          </option>
        ))}
      </select>
    </label>
  );
}
