"""One contract for both stores: files, and a real Azurite."""

from __future__ import annotations

import gzip
import os
import uuid
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

import httpx
import pytest
from azure.storage.blob import BlobClient, ContentSettings

from imagery.contracts import BlobRef
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import (
    AzureBlobStorage,
    BlobChangedError,
    BlobNameError,
    BlobNotFoundError,
    BlobTooLargeError,
    LinkUnsupportedError,
    LocalStorage,
    Storage,
)
from testbed.azurite import Azurite


@pytest.fixture
def container(storage: Storage) -> str:
    name = f"c-{uuid.uuid4().hex}"
    storage.ensure_containers(name)
    storage.ensure_containers(name)
    return name


def test_what_was_written_is_read_with_its_type(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="a/b c/ü.png")
    written = storage.write(ref, b"pixels", "image/png")
    assert storage.read(written) == b"pixels"
    properties = storage.properties(ref)
    assert (properties.size, properties.content_type) == (6, "image/png")
    assert properties.etag == written.etag


def test_a_file_is_written_from_where_it_stands(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="a/large.bin")
    content = bytes(range(256)) * 40_000
    with SpooledTemporaryFile(max_size=1000) as file:
        file.write(content)
        file.seek(256)
        storage.write(ref, cast(BinaryIO, file), "application/octet-stream")
    assert storage.read(ref) == content[256:]


def test_the_start_of_a_blob_is_read_alone(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="a/b.txt")
    storage.write(ref, b"0123456789", "text/plain")
    assert storage.read_start(ref, 4) == b"0123"
    assert storage.read_start(ref, 100) == b"0123456789"
    with pytest.raises(BlobNotFoundError):
        storage.read_start(BlobRef(container=container, name="nothing"), 4)


def test_a_blob_that_is_packed_is_read_as_it_is_stored(azurite: Azurite) -> None:
    """Unpacked by its Content-Encoding, a megabyte can be gigabytes."""
    storage = AzureBlobStorage.from_settings(
        read(Settings, {"AzureWebJobsStorage": azurite.connection_string})
    )
    name = f"c-{uuid.uuid4().hex}"
    storage.ensure_containers(name)
    packed = gzip.compress(bytes(20_000_000))
    client = BlobClient.from_connection_string(azurite.connection_string, name, "x")
    kind = ContentSettings(content_type="image/png", content_encoding="gzip")
    client.upload_blob(packed, content_settings=kind)
    ref = BlobRef(container=name, name="x")
    assert storage.read(ref, max_bytes=len(packed)) == packed
    assert storage.read_start(ref, 10) == packed[:10]


@pytest.mark.parametrize(("data", "is_folder"), [(b"", True), (b"photo", False)])
def test_only_an_empty_blob_marks_a_folder(azurite: Azurite, data: bytes, is_folder: bool) -> None:
    storage = AzureBlobStorage.from_settings(
        read(Settings, {"AzureWebJobsStorage": azurite.connection_string})
    )
    name = f"c-{uuid.uuid4().hex}"
    storage.ensure_containers(name)
    client = BlobClient.from_connection_string(azurite.connection_string, name, "x")
    client.upload_blob(data, metadata={"hdi_isfolder": "true"})
    assert storage.properties(BlobRef(container=name, name="x")).is_folder is is_folder


def test_a_glance_sees_what_a_look_sees(storage: Storage, container: str) -> None:
    for number in range(3):
        storage.write(BlobRef(container=container, name=f"ann/{number}.jpg"), b"photo", "image/jpeg")
    storage.write(BlobRef(container=container, name="ann/empty"), b"", "image/jpeg")
    storage.write(BlobRef(container=container, name="bob/0.jpg"), b"photo", "image/jpeg")
    seen = storage.glance(container, "ann/", 10)
    for name, properties in seen.items():
        assert properties == storage.properties(BlobRef(container=container, name=name))
    # an empty one may mark a folder, and files are looked at one by one
    own = [] if isinstance(storage, LocalStorage) else [f"ann/{number}.jpg" for number in range(3)]
    assert list(seen) == own
    assert len(storage.glance(container, "ann/", 2)) == min(2, len(own))


def test_a_missing_blob_is_not_found(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="nothing")
    assert not storage.exists(ref)
    for call in (storage.properties, storage.read):
        with pytest.raises(BlobNotFoundError):
            call(ref)
    storage.delete(ref)


def test_a_missing_container_is_not_found(storage: Storage) -> None:
    with pytest.raises(BlobNotFoundError):
        storage.read(BlobRef(container=f"c-{uuid.uuid4().hex}", name="x"))


def test_an_overwritten_blob_has_changed(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="x")
    first = storage.write(ref, b"one", "text/plain")
    storage.write(ref, b"three", "text/plain")
    with pytest.raises(BlobChangedError):
        storage.read(first)
    assert storage.read(ref) == b"three"


def test_an_existing_blob_is_kept_unless_told_otherwise(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="x")
    first = storage.write(ref, b"one", "text/plain", overwrite=False)
    second = storage.write(ref, b"two", "text/plain", overwrite=False)
    assert second.etag == first.etag
    assert storage.read(ref) == b"one"


def test_a_blob_beyond_the_limit_is_not_read(storage: Storage, container: str) -> None:
    ref = storage.write(BlobRef(container=container, name="x"), b"12345", "text/plain")
    assert storage.read(ref, max_bytes=5) == b"12345"
    with pytest.raises(BlobTooLargeError):
        storage.read(ref, max_bytes=4)


def test_blobs_are_listed_by_prefix(storage: Storage, container: str) -> None:
    for name in ("b/2", "a/1", "b/1"):
        storage.write(BlobRef(container=container, name=name), b"", "text/plain")
    assert [ref.name for ref in storage.list(container, "b/")] == ["b/1", "b/2"]
    assert len(list(storage.list(container))) == 3


def test_a_file_name_that_is_no_text_hides_no_other(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.ensure_containers("uploads")
    (tmp_path / "uploads" / os.fsdecode(b"a\xff.jpg")).write_bytes(b"1")
    storage.write(BlobRef(container="uploads", name="b.jpg"), b"1", "image/jpeg")
    assert [ref.name for ref in storage.list("uploads")] == ["b.jpg"]


def test_a_deleted_blob_is_gone(storage: Storage, container: str) -> None:
    ref = storage.write(BlobRef(container=container, name="x"), b"1", "text/plain")
    storage.delete(ref)
    assert not storage.exists(ref)


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/x", "a//b", ".", "", "a\\..\\b", "a\x00b", "x" * 1025]
)
def test_a_name_that_could_leave_its_container_is_refused(storage: Storage, name: str) -> None:
    ref = BlobRef(container="uploads", name=name)
    for call in (storage.read, storage.exists, storage.delete, lambda r: storage.write(r, b"", "text/plain")):
        with pytest.raises(BlobNameError):
            call(ref)


@pytest.mark.parametrize("container_name", ["..", "UP", "a", "a--b", ".types", "a/b"])
def test_a_container_name_that_azure_would_refuse_is_refused(storage: Storage, container_name: str) -> None:
    with pytest.raises(BlobNameError):
        storage.read(BlobRef(container=container_name, name="x"))


def test_links_read_one_blob_and_write_one_blob(storage: Storage, container: str) -> None:
    ref = BlobRef(container=container, name="x.png")
    if isinstance(storage, LocalStorage):
        with pytest.raises(LinkUnsupportedError):
            storage.read_link(ref, 60)
        with pytest.raises(LinkUnsupportedError):
            storage.write_link(ref, 60)
        return
    assert isinstance(storage, AzureBlobStorage)
    put = httpx.put(
        storage.write_link(ref, 60),
        content=b"bytes",
        headers={"x-ms-blob-type": "BlockBlob", "content-type": "image/png"},
    )
    assert put.status_code == 201
    assert httpx.get(storage.write_link(ref, 60)).status_code == 403
    named = """attachment; filename="Kaffee gro.png"; filename*=UTF-8''Kaffee%20gro%C3%9F.png"""
    got = httpx.get(storage.read_link(ref, 60, named))
    assert (got.content, got.headers["content-disposition"]) == (b"bytes", named)
    assert httpx.delete(storage.read_link(ref, 60)).status_code == 403
