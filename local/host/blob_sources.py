"""Where blobs are looked for: a storage account or Azurite, or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobClient, BlobServiceClient


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
        """What is in the container now."""
        ...

    def client(self, blob: BlobVersion) -> BlobClient:
        """A client that names the blob."""
        ...

    def read(self, blob: BlobVersion) -> bytes:
        """The content now."""
        ...


class AzureBlobs:
    """A storage account, by connection string."""

    def __init__(self, connection_string: str) -> None:
        self._service = BlobServiceClient.from_connection_string(connection_string)

    def prepare(self, container: str) -> None:
        """Create the container if it is missing."""
        try:
            self._service.create_container(container)
        except ResourceExistsError:
            return

    def blobs(self, container: str) -> Iterator[BlobVersion]:
        """What is in the container now."""
        for each in self._service.get_container_client(container).list_blobs():
            yield BlobVersion(container, each.name, str(each.etag).strip('"'), each.size)

    def client(self, blob: BlobVersion) -> BlobClient:
        """A client that names the blob."""
        return self._service.get_blob_client(blob.container, blob.name)

    def read(self, blob: BlobVersion) -> bytes:
        """The content now."""
        data: bytes = self.client(blob).download_blob().readall()
        return data


class FolderBlobs:
    """A folder: ``root/container/name``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self, container: str) -> None:
        """Create the folder if it is missing."""
        (self._root / container).mkdir(parents=True, exist_ok=True)

    def blobs(self, container: str) -> Iterator[BlobVersion]:
        """Files that are there now, hidden ones left out."""
        base = self._root / container
        for path in sorted(base.rglob("*")):
            relative = path.relative_to(base)
            if any(part.startswith(".") for part in relative.parts):
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
                yield BlobVersion(container, relative.as_posix(), etag, stat.st_size)

    def client(self, blob: BlobVersion) -> BlobClient:
        """A client that only carries the names: there is no service behind a folder."""
        return BlobClient.from_blob_url(f"http://127.0.0.1/folder/{blob.container}/{quote(blob.name)}")

    def read(self, blob: BlobVersion) -> bytes:
        """The content now."""
        return (self._root / blob.container / blob.name).read_bytes()
