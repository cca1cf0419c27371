"""Blobs in Azure Blob Storage, or in Azurite."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceModifiedError
from azure.core.exceptions import ResourceNotFoundError as AzureNotFoundError
from azure.storage.blob import BlobProperties as SdkBlobProperties
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContentSettings,
    ExponentialRetry,
    UserDelegationKey,
    generate_blob_sas,
)

from imagery.contracts import BlobRef
from imagery.identity import make_credential
from imagery.settings import Settings
from imagery.storage.protocol import (
    BlobChangedError,
    BlobNotFoundError,
    BlobProperties,
    BlobTooLargeError,
    StorageError,
    checked,
)

# within one account a copy is done when the call returns, except in rare cases
_COPIED, _COPYING = "success", "pending"
_COPY_LIMIT_S = 60.0
_COPY_LOOK_S = 0.2
# A storage that hangs is given up after a little more than a minute, so that an activity with some such
# calls ends long before functionTimeout. The SDK's own limits come to five minutes a call.
_CONNECT_S, _READ_S, _RETRIES = 10, 20, 2


class AzureBlobStorage:
    """Azure Blob Storage or Azurite. Links are signed with the account key or a user delegation key."""

    _KEY_MARGIN = timedelta(minutes=5)

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._delegation: tuple[datetime, UserDelegationKey] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> AzureBlobStorage:
        """Connect by connection string, else by account name with azure-identity."""
        if settings.storage.connection_string:
            secret = settings.storage.connection_string.get_secret_value()
            return cls(BlobServiceClient.from_connection_string(secret, **_limits()))
        if not settings.storage.account_name:
            raise StorageError(
                "ENV=PROD needs AzureWebJobsStorage (connection string) or AzureWebJobsStorage__accountName"
            )
        url = f"https://{settings.storage.account_name}.blob.core.windows.net"
        return cls(BlobServiceClient(url, credential=make_credential(settings), **_limits()))

    @property
    def link_origin(self) -> str | None:
        """Where the account's blobs are."""
        parts = urlsplit(str(self._service.url))
        return f"{parts.scheme}://{parts.netloc}"

    def properties(self, ref: BlobRef) -> BlobProperties:
        with _told(ref, "looked at"):
            found = self._client(ref).get_blob_properties()
        return _properties(found)

    def exists(self, ref: BlobRef) -> bool:
        try:
            with _told(ref, "looked at"):
                found = self._client(ref).get_blob_properties()
        except BlobNotFoundError:
            return False
        # a copy shows under its name before it is whole
        return found.copy.status in {None, _COPIED}

    def read(self, ref: BlobRef, max_bytes: int | None = None) -> bytes:
        # the bytes as they are stored: unpacked by their Content-Encoding they would have no bound
        properties = self.properties(ref)
        if ref.etag is not None and properties.etag != ref.etag:
            raise BlobChangedError(f"{ref.path} was overwritten")
        if max_bytes is not None and properties.size > max_bytes:
            raise BlobTooLargeError(f"{ref.path} has {properties.size} bytes, the limit is {max_bytes}")
        with _told(ref, "read"):
            stream = self._client(ref).download_blob(
                etag=f'"{properties.etag}"', match_condition=MatchConditions.IfNotModified, decompress=False
            )
            data: bytes = stream.readall()
        return data

    def read_start(self, ref: BlobRef, length: int) -> bytes:
        with _told(ref, "read"):
            stream = self._client(ref).download_blob(offset=0, length=length, decompress=False)
            start: bytes = stream.readall()
        return start

    def write(
        self, ref: BlobRef, data: bytes | BinaryIO, content_type: str, *, overwrite: bool = True
    ) -> BlobRef:
        client = self._client(ref)
        settings = ContentSettings(content_type=content_type)
        try:
            with _told(ref, "written"):
                answer = client.upload_blob(
                    data, length=_length(data), overwrite=overwrite, content_settings=settings
                )
        except ResourceExistsError:
            return ref.model_copy(update={"etag": self.properties(ref).etag})
        return ref.model_copy(update={"etag": str(answer["etag"]).strip('"')})

    def copy(self, source: BlobRef, target: BlobRef) -> BlobRef:
        client = self._client(target)
        try:
            with _told(source, "copied"):
                answer = client.start_copy_from_url(
                    self._client(source).url, match_condition=MatchConditions.IfMissing
                )
        except ResourceExistsError:
            return target.model_copy(update={"etag": self.properties(target).etag})
        status, until = str(answer["copy_status"]), time.monotonic() + _COPY_LIMIT_S
        while status == _COPYING and time.monotonic() < until:
            time.sleep(_COPY_LOOK_S)
            with _told(target, "looked at"):
                status = str(client.get_blob_properties().copy.status)
        if status != _COPIED:
            self._give_up_copy(target, str(answer["copy_id"]))
            raise StorageError(f"{source.path} could not be copied: {status}")
        return target.model_copy(update={"etag": self.properties(target).etag})

    def _give_up_copy(self, target: BlobRef, copy_id: str) -> None:
        with contextlib.suppress(AzureError):
            self._client(target).abort_copy(copy_id)
        self.delete(target)

    def delete(self, ref: BlobRef) -> None:
        condition = {"etag": f'"{ref.etag}"', "match_condition": MatchConditions.IfNotModified}
        with contextlib.suppress(BlobNotFoundError, BlobChangedError), _told(ref, "deleted"):
            self._client(ref).delete_blob(**(condition if ref.etag else {}))

    def list(self, container: str, prefix: str = "") -> Iterator[BlobRef]:
        found = self._service.get_container_client(container).list_blobs(name_starts_with=prefix)
        with _told(BlobRef(container=container, name=prefix or "*"), "listed"):
            for each in found:
                yield BlobRef(container=container, name=each.name, etag=str(each.etag).strip('"'))

    def glance(self, container: str, prefix: str, limit: int) -> dict[str, BlobProperties]:
        found = self._service.get_container_client(container).list_blobs(name_starts_with=prefix)
        with _told(BlobRef(container=container, name=prefix or "*"), "listed"):
            # whether an empty blob marks a folder stands in its metadata, which a listing does not bring
            return {each.name: _properties(each) for each in islice(found, limit) if each.size}

    def read_link(
        self, ref: BlobRef, lifetime_s: int, disposition: str | None = None, content_type: str | None = None
    ) -> str:
        return self._link(ref, BlobSasPermissions(read=True), lifetime_s, disposition, content_type)

    def write_link(self, ref: BlobRef, lifetime_s: int) -> str:
        return self._link(ref, BlobSasPermissions(create=True), lifetime_s)

    def ensure_containers(self, *names: str) -> None:
        for name in names:
            try:
                self._service.create_container(name)
            except ResourceExistsError:
                continue

    def _client(self, ref: BlobRef):  # type: ignore[no-untyped-def]  # the SDK leaves BlobClient's methods untyped
        return self._service.get_blob_client(checked(ref).container, ref.name)

    def _link(
        self,
        ref: BlobRef,
        permission: BlobSasPermissions,
        lifetime_s: int,
        disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        expiry = datetime.now(UTC) + timedelta(seconds=lifetime_s)
        key = getattr(self._service.credential, "account_key", None)
        token = generate_blob_sas(
            account_name=str(self._service.account_name),
            container_name=checked(ref).container,
            blob_name=ref.name,
            account_key=key,
            user_delegation_key=None if key else self._delegation_key(expiry),
            permission=permission,
            expiry=expiry,
            start=datetime.now(UTC) - self._KEY_MARGIN,
            content_disposition=disposition,
            content_type=content_type,
        )
        return f"{self._client(ref).url}?{token}"

    def _delegation_key(self, until: datetime) -> UserDelegationKey:
        """A cached key that is valid at least until ``until``: asking for one is a call to Entra ID."""
        if self._delegation is None or self._delegation[0] < until:
            now = datetime.now(UTC)
            expiry = until + timedelta(hours=1)
            key = self._service.get_user_delegation_key(now - self._KEY_MARGIN, expiry)
            self._delegation = (expiry, key)
        return self._delegation[1]


def _properties(found: SdkBlobProperties) -> BlobProperties:
    return BlobProperties(
        size=found.size,
        etag=str(found.etag).strip('"'),
        content_type=found.content_settings.content_type or "application/octet-stream",
        modified=found.last_modified,
        # a photo stays a photo whatever its metadata say
        is_folder=found.size == 0 and (found.metadata or {}).get("hdi_isfolder", "").lower() == "true",
    )


def _limits() -> dict[str, Any]:
    """Time limits and retries of every call, as the SDK's clients take them."""
    waits = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=_RETRIES, random_jitter_range=1)
    return {"connection_timeout": _CONNECT_S, "read_timeout": _READ_S, "retry_policy": waits}


@contextlib.contextmanager
def _told(ref: BlobRef, done: str) -> Iterator[None]:
    """Raise what the SDK raises as an error of this module; a blob that is there already stays the SDK's."""
    try:
        yield
    except ResourceExistsError:
        raise
    except AzureNotFoundError:
        raise BlobNotFoundError(f"{ref.path} does not exist") from None
    except ResourceModifiedError:
        raise BlobChangedError(f"{ref.path} was overwritten") from None
    except AzureError as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise StorageError(f"{ref.path} could not be {done}: {reason}") from error


def _length(data: bytes | BinaryIO) -> int:
    """Bytes from where the file stands; the SDK would take those before it too."""
    if isinstance(data, bytes):
        return len(data)
    position = data.tell()
    length = data.seek(0, os.SEEK_END) - position
    data.seek(position)
    return length
