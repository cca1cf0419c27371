"""Ids of jobs: the same request sent twice must be the same job, because each job is paid."""

from __future__ import annotations

import json
import uuid

from imagery.contracts import BlobRef, JobOptions


def upload_job_id(blob: BlobRef, options: JobOptions) -> str:
    """The job of one version of an uploaded blob with these options, however often it is asked for.

    A blob event asks with the default options, so naming the same blob over HTTP finds its job.
    """
    asked = f"{blob.path}#{blob.etag}"
    if options.without_limit != JobOptions():
        # an option that is added later must not change the ids of requests without it
        chosen = options.without_limit.model_dump(mode="json", exclude_defaults=True)
        asked += f"#{json.dumps(chosen, sort_keys=True)}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, asked))


def keyed_job_id(owner_id: str, key: str) -> str:
    """The job of an ``Idempotency-Key`` of one owner."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{owner_id}/{key}"))


def keyed_batch_id(owner_id: str, key: str) -> str:
    """The batch of an ``Idempotency-Key`` of one owner."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{owner_id}/batches/{key}"))


def new_job_id() -> str:
    """A random id: no other request leads to the same job."""
    return str(uuid.uuid4())
