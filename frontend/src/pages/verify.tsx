import { useCallback, useState } from 'react';
import { useVerify } from '../api/queries';
import { CredentialsDisclosure } from '../components/credentials';
import { Dropzone } from '../components/dropzone';
import { ErrorCard, Loading, Skeleton } from '../components/feedback';
import { PageHeading, Section } from '../components/page';
import { Preview } from '../components/preview';

export default function VerifyPage() {
  const [file, setFile] = useState<File | null>(null);
  const { mutate, ...verify } = useVerify();
  const onFiles = useCallback(
    ([first]: File[]) => {
      if (!first) return;
      setFile(first);
      mutate(first);
    },
    [mutate],
  );
  return (
    <>
      <PageHeading title="Check a file">
        See who signed a picture, what was done to it, and what it was made from. The file is read, and not kept.
      </PageHeading>
      <div className="flex flex-col gap-6">
        <Dropzone title="Drop a file here, or choose one" label="File" accept="" onFiles={onFiles} />
        {file && (
          <Section title={file.name}>
            {file.type.startsWith('image/') && (
              <Preview file={file} className="mx-auto mb-4 aspect-4/3 max-w-xl overflow-hidden rounded-xl" />
            )}
            <div aria-live="polite">
              {verify.isPending && (
                <Loading label="Reading the file">
                  <Skeleton className="h-6" />
                </Loading>
              )}
              {verify.error && (
                <ErrorCard
                  error={verify.error}
                  onRetry={() => {
                    mutate(file);
                  }}
                />
              )}
              {verify.data && <CredentialsDisclosure credentials={verify.data} />}
            </div>
          </Section>
        )}
      </div>
    </>
  );
}
