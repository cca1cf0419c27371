"""Finished rows of a long work in the store: who takes it over goes on from there, also after a crash."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from gpu_container import pictures
from gpu_container.tiling import TileBand
from imagery.contracts import BlobRef
from imagery.storage import Storage, StorageError
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_PNG_LEVEL = 1
_CONTENT_TYPE = "image/png"
_MAX_BYTES = 1024**3


class FinishedBands(Protocol):
    """Where finished bands are kept until their picture is complete."""

    def has(self, band: TileBand) -> bool:
        """True when the band was kept."""
        ...

    def take(self, band: TileBand, shape: tuple[int, ...]) -> np.ndarray | None:
        """Its rows. Returns None if they can't be had."""
        ...

    def keep(self, band: TileBand, rows: np.ndarray) -> None:
        """Keep it."""
        ...


class NothingKept:
    """For works so short that to do them again costs less than to keep their parts."""

    def has(self, band: TileBand) -> bool:
        """Never."""
        return False

    def take(self, band: TileBand, shape: tuple[int, ...]) -> np.ndarray | None:
        """Nothing."""
        return None

    def keep(self, band: TileBand, rows: np.ndarray) -> None:
        """Nothing is kept."""


class KeptBands:
    """The finished bands of one target, each a PNG of its own beside it.

    ``version``: names the source's content and the network; bands of another version are not taken.
    """

    def __init__(self, storage: Storage, target: BlobRef, version: str) -> None:
        self._storage = storage
        self._container = target.container
        self._folder = f"{target.name}.rows/"
        self._version = version
        self._is_keeping = True
        self._there: set[str] = set()

    def look(self) -> None:
        """See what an earlier work has left."""
        try:
            self._there = {ref.name for ref in self._storage.list(self._container, self._folder)}
        except (StorageError, OSError) as error:
            _log.warning("kept_rows_unknown", error=str(error))

    def has(self, band: TileBand) -> bool:
        """True when the band was kept."""
        return self._name(band) in self._there

    def take(self, band: TileBand, shape: tuple[int, ...]) -> np.ndarray | None:
        """The rows of a band, (rows, width, channels) uint8. Returns None if they can't be had."""
        try:
            data = self._storage.read(self._ref(self._name(band)), max_bytes=_MAX_BYTES)
            rows = np.asarray(pictures.read_own(data))
        except (StorageError, OSError, ValueError, Image.DecompressionBombError) as error:
            _log.warning("kept_rows_lost", error=str(error))
            return None
        return rows if rows.shape == shape else None

    def keep(self, band: TileBand, rows: np.ndarray) -> None:
        """Keep a finished band. The work does not depend on it."""
        if not self._is_keeping or not band.tiles or self.has(band):
            return
        height, width, channels = rows.shape
        try:
            with pictures.write([rows], width, height, channels, _PNG_LEVEL) as file:
                self._storage.write(self._ref(self._name(band)), file, _CONTENT_TYPE)
            self._there.add(self._name(band))
        except (StorageError, OSError) as error:
            self._is_keeping = False
            _log.warning("rows_not_kept", error=str(error))

    def drop(self) -> None:
        """The target is complete: nobody needs its parts."""
        try:
            for name in self._there:
                self._storage.delete(self._ref(name))
        except (StorageError, OSError) as error:
            # they go with the job's other blobs
            _log.warning("kept_rows_stay", error=str(error))

    def _name(self, band: TileBand) -> str:
        return f"{self._folder}{self._version}-{band.start}-{band.end}.png"

    def _ref(self, name: str) -> BlobRef:
        return BlobRef(container=self._container, name=name)
