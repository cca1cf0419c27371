"""Blobs as files, for a laptop."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from imagery.contracts import BlobRef
from imagery.storage.protocol import (
    BlobChangedError,
    BlobNameError,
    BlobNotFoundError,
    BlobProperties,
    BlobTooLargeError,
    LinkUnsupportedError,
    checked,
)


class LocalStorage:
    """Files below ``root/container/name``; the content type stands in a side file below ``root/.types``."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    @property
    def link_origin(self) -> str | None:
        """None: files have no links."""
        return None

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
            etag=_etag_of(stat),
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

    def read_start(self, ref: BlobRef, length: int) -> bytes:
        try:
            with self._path(ref).open("rb") as file:
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise BlobNotFoundError(f"{ref.path} does not exist") from None

    def write(
        self, ref: BlobRef, data: bytes | BinaryIO, content_type: str, *, overwrite: bool = True
    ) -> BlobRef:
        path, type_path = self._path(ref), self._type_path(ref)
        for each in (path, type_path):
            each.parent.mkdir(parents=True, exist_ok=True)
        type_path.write_text(content_type)
        handle, temporary = tempfile.mkstemp(dir=self._root, prefix=".write-")
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    shutil.copyfileobj(data, file)
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

    def copy(self, source: BlobRef, target: BlobRef) -> BlobRef:
        kind = self.properties(source).content_type
        try:
            with self._path(source).open("rb") as file:
                return self.write(target, file, kind, overwrite=False)
        except FileNotFoundError:
            raise BlobNotFoundError(f"{source.path} does not exist") from None

    def delete(self, ref: BlobRef) -> None:
        path = self._path(ref)
        if ref.etag is not None and _etag(path) != ref.etag:
            return
        path.unlink(missing_ok=True)
        self._type_path(ref).unlink(missing_ok=True)

    def list(self, container: str, prefix: str = "") -> Iterator[BlobRef]:
        """By name order; hidden files, such as those that file managers leave, are no blobs."""
        base = self._root / container
        # names begin with the prefix, so they lie in the folder that it names
        paths = (base / prefix.rpartition("/")[0]).rglob("*")
        names = sorted(path.relative_to(base).as_posix() for path in paths if path.is_file())
        for name in names:
            is_hidden = any(part.startswith(".") for part in name.split("/"))
            if name.startswith(prefix) and _is_text(name) and not is_hidden and (etag := _etag(base / name)):
                yield BlobRef(container=container, name=name, etag=etag)

    def glance(self, container: str, prefix: str, limit: int) -> dict[str, BlobProperties]:
        """Nothing: a look at a file costs no more."""
        return {}

    def read_link(
        self, ref: BlobRef, lifetime_s: int, disposition: str | None = None, content_type: str | None = None
    ) -> str:
        raise LinkUnsupportedError("files have no links")

    def write_link(self, ref: BlobRef, lifetime_s: int) -> str:
        raise LinkUnsupportedError("files have no links")

    def ensure_containers(self, *names: str) -> None:
        for name in names:
            (self._root / name).mkdir(parents=True, exist_ok=True)


def _is_text(name: str) -> bool:
    """False for a file name that is not UTF-8: no database and no JSON take its surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _etag(path: Path) -> str | None:
    """The version of the file, None when there is none."""
    try:
        return _etag_of(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _etag_of(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
