"""A stage's source and target in the store, and what each error of the store means to a caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from gpu_container import pictures
from gpu_container.errors import (
    ImageTooLargeError,
    InvalidImageError,
    SourceNotFoundError,
    StorageUnavailableError,
)
from imagery.contracts import GpuRequest
from imagery.storage import (
    BlobNameError,
    BlobNotFoundError,
    BlobTooLargeError,
    Storage,
    StorageError,
)

_HEADER_BYTES = 64 * 1024
# largest blob that is read
_MAX_BYTES = 300 * 1024 * 1024
_CONTENT_TYPE = "image/png"


class StageBlobs:
    """What stages read and write. Raises ``StageError`` and ``BlobNameError``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def pixels(self, request: GpuRequest, most: float) -> int:
        """Of the source, from its header; from the whole file where the header is longer than usual."""
        start = self._from_storage(lambda: self._storage.read_start(request.source, _HEADER_BYTES), request)
        try:
            width, height = pictures.size_of(start, most)
        except InvalidImageError:
            width, height = pictures.size_of(self.read(request), most)
        return width * height

    def read(self, request: GpuRequest) -> bytes:
        """The whole source."""
        return self._from_storage(lambda: self._storage.read(request.source, max_bytes=_MAX_BYTES), request)

    def finished_size(self, request: GpuRequest) -> tuple[int, int] | None:
        """Width and height of a target that an earlier call has finished. Returns None if there is none."""
        try:
            return pictures.size_of(self._storage.read_start(request.target, _HEADER_BYTES))
        except (BlobNotFoundError, InvalidImageError):
            # what is no picture is not what an earlier call wrote; it is replaced
            return None
        except BlobNameError:
            raise
        except (StorageError, OSError) as error:
            raise StorageUnavailableError("Storage does not respond.") from error

    def write(self, request: GpuRequest, file: BinaryIO) -> None:
        """Write the target."""
        try:
            self._storage.write(request.target, file, _CONTENT_TYPE)
        except Exception as error:
            raise StorageUnavailableError("The result could not be written.") from error

    def _from_storage(self, read: Callable[[], bytes], request: GpuRequest) -> bytes:
        try:
            return read()
        except BlobNotFoundError as error:
            raise SourceNotFoundError(f"{request.source.path} does not exist.") from error
        except BlobTooLargeError as error:
            raise ImageTooLargeError(str(error)) from error
        except BlobNameError:
            raise
        except Exception as error:
            raise StorageUnavailableError("The source could not be read.") from error
