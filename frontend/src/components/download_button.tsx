import { useMutation } from '@tanstack/react-query';
import { Download } from 'lucide-react';
import { pictureUrl } from '../api/queries';
import type { JobStatus, PictureName } from '../api/types';
import { download } from '../lib/download';
import { savedName } from '../lib/job_view';
import { PICTURE_NAMES } from '../lib/names';
import { Button } from './button';
import { ErrorCard } from './feedback';

/** Saves a picture of a job under the photo's name; says what went wrong if it could not. */
export function DownloadButton({ job, picture }: { job: JobStatus; picture: PictureName }) {
  const save = useMutation({ mutationFn: () => download(pictureUrl(job.job_id, picture), savedName(job, picture)) });
  return (
    <>
      <Button
        kind="primary"
        data-testid="download"
        data-picture={picture}
        aria-label={`Download: ${PICTURE_NAMES[picture]}`}
        disabled={save.isPending}
        icon={<Download aria-hidden className="size-4" />}
        onClick={() => {
          save.mutate();
        }}
      >
        {save.isPending ? 'Saving' : 'Download'}
      </Button>
      {save.error && (
        <div className="basis-full">
          <ErrorCard error={save.error} />
        </div>
      )}
    </>
  );
}
