"""Where the host looks for blobs: a storage account, Azurite, or a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Protocol
from urllib.parse import quote

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobClient, BlobServiceClient

_CONNECT_S = 2
_READ_S = 30
# a file that is being copied grows for a while: it counts when it has not changed for this long
_SETTLE_S = 0.25


@dataclass(frozen=True)
class BlobVersion:
    """One version of a blob; ``size`` in bytes."""

    container: str
    name: str
    etag: str
    size: int


class BlobSource(Protocol):
    """Something that holds blobs."""

    def prepare(self, container: str) -> None:
        """Create the container if it is missing."""
        ...

    def blobs(self, container: str) -> Iterator[BlobVersion]:
        """List the blobs in the container now."""
        ...

    def client(self, blob: BlobVersion) -> BlobClient:
        """Returns a client that names the blob."""
        ...

    def read(self, blob: BlobVersion) -> bytes:
        """Returns the current content."""
        ...

    def exists(self, blob: BlobVersion) -> bool:
        """True if a blob of this name exists now, in any version."""
        ...


class AzureBlobs:
    """A storage account, by connection string."""

    def __init__(self, connection_string: str) -> None:
        self._service = BlobServiceClient.from_connection_string(connection_string)
        # the next poll is the retry: unreachable storage must not hold the poller for minutes
        self._listing = BlobServiceClient.from_connection_string(
            connection_string, retry_total=0, connection_timeout=_CONNECT_S, read_timeout=_READ_S
        )

    def prepare(self, container: str) -> None:
        """Create the container if it is missing."""
        try:
            self._listing.create_container(container)
        except ResourceExistsError:
            return

    def blobs(self, container: str) -> Iterator[BlobVersion]:
        """List the blobs in the container now."""
        for each in self._listing.get_container_client(container).list_blobs():
            yield BlobVersion(container, each.name, str(each.etag).strip('"'), each.size)

    def client(self, blob: BlobVersion) -> BlobClient:
        """Returns a client that names the blob."""
        return self._service.get_blob_client(blob.container, blob.name)

    def read(self, blob: BlobVersion) -> bytes:
        """Returns the current content."""
        data: bytes = self.client(blob).download_blob().readall()
        return data

    def exists(self, blob: BlobVersion) -> bool:
        """True if a blob of this name exists now, in any version."""
        return bool(self._listing.get_blob_client(blob.container, blob.name).exists())


class FolderBlobs:
    """A folder: ``root/container/name``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self, container: str) -> None:
        """Create the folder if it is missing."""
        (self._root / container).mkdir(parents=True, exist_ok=True)

    def blobs(self, container: str) -> Iterator[BlobVersion]:
        """List the files that exist now, without hidden ones and those still being written.

        Raises ``FileNotFoundError`` if the folder does not exist.
        """
        base = self._root / container
        if not base.is_dir():
            raise FileNotFoundError(base)
        for path in sorted(base.rglob("*")):
            relative = path.relative_to(base)
            if any(part.startswith(".") for part in relative.parts):
                continue
            try:
                stat = path.stat()
            except OSError:
                continue
            is_settled = not 0 <= time.time() - stat.st_mtime < _SETTLE_S
            if S_ISREG(stat.st_mode) and is_settled:
                etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
                yield BlobVersion(container, relative.as_posix(), etag, stat.st_size)

    def client(self, blob: BlobVersion) -> BlobClient:
        """Returns a client that only carries the names: a folder has no service behind it."""
        return BlobClient.from_blob_url(f"http://127.0.0.1/folder/{blob.container}/{quote(blob.name)}")

    def read(self, blob: BlobVersion) -> bytes:
        """Returns the current content."""
        return self._path(blob).read_bytes()

    def exists(self, blob: BlobVersion) -> bool:
        """True if a file of this name exists now, in any version."""
        return self._path(blob).is_file()

    def _path(self, blob: BlobVersion) -> Path:
        return self._root / blob.container / blob.name
