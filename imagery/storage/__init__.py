"""Blobs behind one protocol: files on a laptop, Azure Blob Storage or Azurite elsewhere.

Reads are bounded by the caller, writes appear whole or not at all, and an existing blob is only
replaced where the caller says so.
"""

from __future__ import annotations

from functools import lru_cache

from imagery.settings import Environment, Settings, get_settings
from imagery.storage.azure_blob import AzureBlobStorage
from imagery.storage.local import LocalStorage
from imagery.storage.protocol import (
    LINK_LIFETIME_S,
    BlobChangedError,
    BlobNameError,
    BlobNotFoundError,
    BlobProperties,
    BlobTooLargeError,
    LinkUnsupportedError,
    Storage,
    StorageError,
    checked,
)

__all__ = [
    "LINK_LIFETIME_S",
    "AzureBlobStorage",
    "BlobChangedError",
    "BlobNameError",
    "BlobNotFoundError",
    "BlobProperties",
    "BlobTooLargeError",
    "LinkUnsupportedError",
    "LocalStorage",
    "Storage",
    "StorageError",
    "checked",
    "get_storage",
    "make_storage",
]


def make_storage(settings: Settings) -> Storage:
    """The store these settings name: Azure when ENV=PROD or a connection string is set, else files."""
    if settings.env is Environment.PROD or settings.storage.connection_string:
        return AzureBlobStorage.from_settings(settings)
    return LocalStorage(settings.storage.local_path)


@lru_cache(maxsize=1)
def get_storage() -> Storage:
    """The store of this process."""
    return make_storage(get_settings())
