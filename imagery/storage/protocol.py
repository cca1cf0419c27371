"""What a store of blobs does, and what can go wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from imagery.contracts import BlobRef


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
    """What is known of a blob without reading it. ``size`` in bytes.

    ``is_folder``: the empty blob by which storage browsers and hierarchical accounts mark a folder.
    """

    size: int
    etag: str
    content_type: str
    modified: datetime
    is_folder: bool = False


class Storage(Protocol):
    """A store of blobs. ``StorageError`` and its children are all it raises for what went wrong."""

    @property
    def link_origin(self) -> str | None:
        """Scheme, host and port that links lead to; None where there are no links."""
        ...

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

    def read_start(self, ref: BlobRef, length: int) -> bytes:
        """At most the first ``length`` bytes. Raises ``BlobNotFoundError``."""
        ...

    def write(
        self, ref: BlobRef, data: bytes | BinaryIO, content_type: str, *, overwrite: bool = True
    ) -> BlobRef:
        """Write bytes, or a file from where it stands, atomically; return the reference with its etag.

        With ``overwrite`` False an existing blob is kept, and its reference returned.
        """
        ...

    def copy(self, source: BlobRef, target: BlobRef) -> BlobRef:
        """Copy a blob with its type, atomically and without moving its bytes through this process.

        A ``target`` that exists is kept. Raises ``BlobNotFoundError`` when there is no ``source``.
        """
        ...

    def delete(self, ref: BlobRef) -> None:
        """Remove the blob, only in the version of ``ref.etag`` if set; no error if that is gone already."""
        ...

    def list(self, container: str, prefix: str = "") -> Iterator[BlobRef]:
        """The blobs of a container by name order, each with its etag; a name that is no text is left out."""
        ...

    def glance(self, container: str, prefix: str, limit: int) -> dict[str, BlobProperties]:
        """Properties by name of at most ``limit`` blobs below ``prefix``, for little more than one look.

        A name that is missing says nothing: look at that blob itself.
        """
        ...

    def read_link(
        self, ref: BlobRef, lifetime_s: int, disposition: str | None = None, content_type: str | None = None
    ) -> str:
        """A short-lived link to read one blob, served as ``content_type`` whatever its writer declared.

        ``disposition``: the answer's ``Content-Disposition``, in ASCII.
        Raises ``LinkUnsupportedError``.
        """
        ...

    def write_link(self, ref: BlobRef, lifetime_s: int) -> str:
        """A short-lived link that creates one blob and nothing else. Raises ``LinkUnsupportedError``."""
        ...

    def ensure_containers(self, *names: str) -> None:
        """Create the containers that are missing."""
        ...


# how long a link to a blob works
LINK_LIFETIME_S = 900
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
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
