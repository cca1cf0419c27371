"""Blobs behind one protocol: files on a laptop, Azure Blob Storage or Azurite elsewhere.

Reads are bounded by the caller, writes appear whole or not at all, and an existing blob is only
replaced where the caller says so.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.core.exceptions import ResourceNotFoundError as AzureNotFoundError
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContentSettings,
    UserDelegationKey,
    generate_blob_sas,
)

from imagery.contracts import BlobRef
from imagery.settings import Environment, Settings, get_settings


class StorageError(Exception):
    """Base of what storage reports. ``code`` is stable."""

    code = "storage_error"


class BlobNotFoundError(StorageError):
    """No blob has this name, or not in the version asked for."""

    code = "source_not_found"


class BlobChangedError(StorageError):
    """The blob was overwritten since the version asked for."""

    code = "source_changed"


class BlobTooLargeError(StorageError):
    """The blob is larger than the caller takes."""

    code = "file_too_large"


class BlobNameError(StorageError):
    """The name could reach outside its container, or no store takes it."""

    code = "invalid_blob_name"


class LinkUnsupportedError(StorageError):
    """This store can't hand out links."""

    code = "link_unsupported"


@dataclass(frozen=True)
class BlobProperties:
    """What is known of a blob without reading it. ``size`` in bytes."""

    size: int
    etag: str
    content_type: str
    modified: datetime


class Storage(Protocol):
    """A store of blobs. ``StorageError`` and its children are all it raises for what went wrong."""

    def properties(self, ref: BlobRef) -> BlobProperties:
        """Size, version and type. Raises ``BlobNotFoundError``."""
        ...

    def exists(self, ref: BlobRef) -> bool:
        """True when the blob is there."""
        ...

    def read(self, ref: BlobRef, max_bytes: int | None = None) -> bytes:
        """The whole content, in the version of ``ref.etag`` if set.

        Raises ``BlobNotFoundError``, ``BlobChangedError``, ``BlobTooLargeError``.
        """
        ...

    def write(self, ref: BlobRef, data: bytes, content_type: str, *, overwrite: bool = True) -> BlobRef:
        """Write atomically and return the reference with its etag.

        With ``overwrite`` False an existing blob is kept, and its reference returned.
        """
        ...

    def delete(self, ref: BlobRef) -> None:
        """Remove the blob; it is no error if it is gone already."""
        ...

    def list(self, container: str, prefix: str = "") -> Iterator[BlobRef]:
        """The blobs of a container by name order."""
        ...

    def read_link(self, ref: BlobRef, lifetime_s: int, filename: str | None = None) -> str:
        """A short-lived link to read one blob. Raises ``LinkUnsupportedError``."""
        ...

    def write_link(self, ref: BlobRef, lifetime_s: int) -> str:
        """A short-lived link to create one blob, write-only. Raises ``LinkUnsupportedError``."""
        ...

    def ensure_containers(self, *names: str) -> None:
        """Create the containers that are missing."""
        ...


_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_NAME = 1024


def checked(ref: BlobRef) -> BlobRef:
    """Return ``ref`` if it can only mean a blob inside its container. Raises ``BlobNameError``."""
    if not _CONTAINER.fullmatch(ref.container):
        raise BlobNameError(f"'{ref.container}' is not a container name")
    parts = ref.name.replace("\\", "/").split("/")
    if not ref.name or len(ref.name) > _MAX_NAME or _CONTROL.search(ref.name):
        raise BlobNameError("the blob name is empty, too long or holds control characters")
    if any(part in {"", ".", ".."} for part in parts):
        raise BlobNameError("the blob name has an empty, '.' or '..' segment")
    return ref


class LocalStorage:
    """Files below ``root/container/name``; the content type stands in a side file below ``root/.types``."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def _path(self, ref: BlobRef) -> Path:
        path = self._root / checked(ref).container / ref.name
        if not path.resolve().is_relative_to(self._root / ref.container):
            raise BlobNameError("the blob name leaves its container")
        return path

    def _type_path(self, ref: BlobRef) -> Path:
        digest = hashlib.sha256(ref.path.encode()).hexdigest()
        return self._root / ".types" / ref.container / digest

    def properties(self, ref: BlobRef) -> BlobProperties:
        path = self._path(ref)
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise BlobNotFoundError(f"{ref.path} does not exist") from None
        if not path.is_file():
            raise BlobNotFoundError(f"{ref.path} does not exist")
        try:
            content_type = self._type_path(ref).read_text()
        except FileNotFoundError:
            content_type = "application/octet-stream"
        return BlobProperties(
            size=stat.st_size,
            etag=f"{stat.st_mtime_ns:x}-{stat.st_size:x}",
            content_type=content_type,
            modified=datetime.fromtimestamp(stat.st_mtime, UTC),
        )

    def exists(self, ref: BlobRef) -> bool:
        return self._path(ref).is_file()

    def read(self, ref: BlobRef, max_bytes: int | None = None) -> bytes:
        properties = self.properties(ref)
        if ref.etag is not None and properties.etag != ref.etag:
            raise BlobChangedError(f"{ref.path} was overwritten")
        if max_bytes is not None and properties.size > max_bytes:
            raise BlobTooLargeError(f"{ref.path} has {properties.size} bytes, the limit is {max_bytes}")
        try:
            return self._path(ref).read_bytes()
        except FileNotFoundError:
            raise BlobNotFoundError(f"{ref.path} does not exist") from None

    def write(self, ref: BlobRef, data: bytes, content_type: str, *, overwrite: bool = True) -> BlobRef:
        path, type_path = self._path(ref), self._type_path(ref)
        for each in (path, type_path):
            each.parent.mkdir(parents=True, exist_ok=True)
        type_path.write_text(content_type)
        handle, temporary = tempfile.mkstemp(dir=self._root, prefix=".write-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            if overwrite:
                Path(temporary).replace(path)
            else:
                # link() fails where the name is taken: the first writer wins, also between processes
                os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink(missing_ok=True)
        return ref.model_copy(update={"etag": self.properties(ref).etag})

    def delete(self, ref: BlobRef) -> None:
        self._path(ref).unlink(missing_ok=True)
        self._type_path(ref).unlink(missing_ok=True)

    def list(self, container: str, prefix: str = "") -> Iterator[BlobRef]:
        base = self._root / container
        names = (path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file())
        return iter(
            BlobRef(container=container, name=name) for name in sorted(names) if name.startswith(prefix)
        )

    def read_link(self, ref: BlobRef, lifetime_s: int, filename: str | None = None) -> str:
        raise LinkUnsupportedError("files have no links")

    def write_link(self, ref: BlobRef, lifetime_s: int) -> str:
        raise LinkUnsupportedError("files have no links")

    def ensure_containers(self, *names: str) -> None:
        for name in names:
            (self._root / name).mkdir(parents=True, exist_ok=True)


class AzureBlobStorage:
    """Azure Blob Storage or Azurite. Links are signed with the account key or a user delegation key."""

    _KEY_MARGIN = timedelta(minutes=5)

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._delegation: tuple[datetime, UserDelegationKey] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> AzureBlobStorage:
        """Connect by connection string, else by account name with azure-identity."""
        if settings.storage_connection_string:
            secret = settings.storage_connection_string.get_secret_value()
            return cls(BlobServiceClient.from_connection_string(secret))
        if not settings.storage_account_name:
            raise StorageError(
                "ENV=PROD needs AzureWebJobsStorage (connection string) or AzureWebJobsStorage__accountName"
            )
        from azure.identity import DefaultAzureCredential  # slow to import, only needed in the cloud

        url = f"https://{settings.storage_account_name}.blob.core.windows.net"
        return cls(BlobServiceClient(url, credential=DefaultAzureCredential()))

    def properties(self, ref: BlobRef) -> BlobProperties:
        try:
            found = self._client(ref).get_blob_properties()
        except AzureNotFoundError:
            raise BlobNotFoundError(f"{ref.path} does not exist") from None
        return BlobProperties(
            size=found.size,
            etag=str(found.etag).strip('"'),
            content_type=found.content_settings.content_type or "application/octet-stream",
            modified=found.last_modified,
        )

    def exists(self, ref: BlobRef) -> bool:
        return bool(self._client(ref).exists())

    def read(self, ref: BlobRef, max_bytes: int | None = None) -> bytes:
        properties = self.properties(ref)
        if ref.etag is not None and properties.etag != ref.etag:
            raise BlobChangedError(f"{ref.path} was overwritten")
        if max_bytes is not None and properties.size > max_bytes:
            raise BlobTooLargeError(f"{ref.path} has {properties.size} bytes, the limit is {max_bytes}")
        try:
            stream = self._client(ref).download_blob(
                etag=f'"{properties.etag}"', match_condition=MatchConditions.IfNotModified
            )
            data: bytes = stream.readall()
        except AzureNotFoundError:
            raise BlobNotFoundError(f"{ref.path} does not exist") from None
        except ResourceModifiedError:
            raise BlobChangedError(f"{ref.path} was overwritten") from None
        except HttpResponseError as error:
            raise StorageError(f"{ref.path} could not be read: {error.reason}") from error
        return data

    def write(self, ref: BlobRef, data: bytes, content_type: str, *, overwrite: bool = True) -> BlobRef:
        client = self._client(ref)
        settings = ContentSettings(content_type=content_type)
        try:
            answer = client.upload_blob(data, overwrite=overwrite, content_settings=settings)
        except ResourceExistsError:
            return ref.model_copy(update={"etag": self.properties(ref).etag})
        except HttpResponseError as error:
            raise StorageError(f"{ref.path} could not be written: {error.reason}") from error
        return ref.model_copy(update={"etag": str(answer["etag"]).strip('"')})

    def delete(self, ref: BlobRef) -> None:
        try:
            self._client(ref).delete_blob()
        except AzureNotFoundError:
            return

    def list(self, container: str, prefix: str = "") -> Iterator[BlobRef]:
        names = self._service.get_container_client(container).list_blob_names(name_starts_with=prefix)
        return (BlobRef(container=container, name=name) for name in names)

    def read_link(self, ref: BlobRef, lifetime_s: int, filename: str | None = None) -> str:
        disposition = f'inline; filename="{filename}"' if filename else None
        return self._link(ref, BlobSasPermissions(read=True), lifetime_s, disposition)

    def write_link(self, ref: BlobRef, lifetime_s: int) -> str:
        return self._link(ref, BlobSasPermissions(create=True, write=True), lifetime_s, None)

    def ensure_containers(self, *names: str) -> None:
        for name in names:
            try:
                self._service.create_container(name)
            except ResourceExistsError:
                continue

    def _client(self, ref: BlobRef):  # type: ignore[no-untyped-def]  # the SDK leaves BlobClient's methods untyped
        return self._service.get_blob_client(checked(ref).container, ref.name)

    def _link(
        self, ref: BlobRef, permission: BlobSasPermissions, lifetime_s: int, disposition: str | None
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


def make_storage(settings: Settings) -> Storage:
    """The store these settings name: Azure when ENV=PROD or a connection string is set, else files."""
    if settings.env is Environment.PROD or settings.storage_connection_string:
        return AzureBlobStorage.from_settings(settings)
    return LocalStorage(settings.local_storage_path)


@lru_cache(maxsize=1)
def get_storage() -> Storage:
    """The store of this process."""
    return make_storage(get_settings())
