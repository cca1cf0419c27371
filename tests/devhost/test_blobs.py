"""Blob triggers, on a folder and on Azurite."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

from azure.storage.blob import BlobServiceClient

from devhost.receipts import Receipts
from testbed.azurite import Azurite
from testbed.ports import free_port
from tests.devhost.process import HostProcess

KEY = ("function", "container", "name", "etag")


def test_each_version_of_a_file_triggers_once(host: HostProcess) -> None:
    host.put("incoming", "a/photo.jpg", b"1")
    found = host.wait_noted("client", name="a/photo.jpg", limit_s=2)
    assert found[0]["container"] == "incoming"
    time.sleep(0.5)
    assert len(host.noted("client", name="a/photo.jpg")) == 1
    host.put("incoming", "a/photo.jpg", b"22")
    host.wait_noted("client", count=2, name="a/photo.jpg", limit_s=2)


def test_a_stream_brings_the_content_of_names_that_fit(host: HostProcess) -> None:
    host.put("streams", "a.md", b"no")
    host.put("streams", ".hidden.txt", b"no")
    host.put("streams", "b.txt", b"yes")
    host.wait_noted("stream", name="streams/b.txt", text="yes", length=3)
    assert not host.noted("stream", name="streams/a.md")
    assert not host.noted("stream", name="streams/.hidden.txt")


def test_a_file_that_is_still_being_written_waits(host: HostProcess) -> None:
    path = host.store / "streams" / "growing.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(8):
        with path.open("a") as file:
            file.write("part ")
        time.sleep(0.1)
    host.wait_noted("stream", name="streams/growing.txt", limit_s=2)
    time.sleep(0.4)
    assert [line["text"] for line in host.noted("stream", name="streams/growing.txt")] == ["part " * 8]


def test_a_blob_that_vanishes_before_its_turn_is_no_error(host: HostProcess) -> None:
    host.put("incoming", "vanishing", b"x")
    log = host.wait_logged("incoming/vanishing was deleted before its turn")
    assert "failed for incoming/vanishing" not in log


def test_a_poisonous_blob_is_retried_with_growing_waits_and_given_up(host: HostProcess) -> None:
    host.put("incoming", "poison", b"x")
    host.wait_logged("incoming/poison is poison", limit_s=15)
    times = [line["at"] for line in host.noted("client", name="poison")]
    assert len(times) == 3
    assert times[1] - times[0] >= 1
    assert times[2] - times[1] >= 2


def test_poison_and_done_versions_are_never_due_again_and_survive_a_restart(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts.db")
    done = (*KEY[:3], "other")
    assert receipts.is_due(KEY)
    assert [receipts.failed(KEY, 3) for _ in range(3)] == [1, 2, 3]
    receipts.done(done)
    again = Receipts(tmp_path / "receipts.db")
    assert [again.is_due(key) for key in (KEY, done, (*KEY[:3], "new"))] == [False, False, True]


def test_a_failed_version_is_due_after_its_wait(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts.db")
    receipts.failed(KEY, 5)
    assert not receipts.is_due(KEY)
    time.sleep(1.1)
    assert receipts.is_due(KEY)


def test_blobs_of_azurite_trigger_within_two_seconds_and_once_over_a_restart(
    azurite: Azurite, make_host: Callable[..., HostProcess]
) -> None:
    host = make_host(AzureWebJobsStorage=azurite.connection_string, HOST_BLOB_POLL_S="0.5")
    host.start()
    service = BlobServiceClient.from_connection_string(azurite.connection_string)
    until = time.monotonic() + 10
    # the host makes the containers that its triggers need
    while not service.get_container_client("streams").exists() and time.monotonic() < until:
        time.sleep(0.05)
    name = f"{uuid.uuid4().hex}/a ü.jpg"
    service.get_blob_client("incoming", name).upload_blob(b"1")
    service.get_blob_client("streams", "b.txt").upload_blob(b"yes")
    host.wait_noted("client", name=name, limit_s=2)
    host.wait_noted("stream", name="streams/b.txt", text="yes", limit_s=2)
    assert host.stop() == 0
    host.start()
    time.sleep(1.2)
    assert len(host.noted("client", name=name)) == 1
    service.get_blob_client("incoming", name).upload_blob(b"2", overwrite=True)
    host.wait_noted("client", count=2, name=name, limit_s=2)
    assert host.stop() == 0


def test_storage_that_is_away_holds_up_nothing_and_is_told_once(
    azurite: Azurite, make_host: Callable[..., HostProcess]
) -> None:
    away = azurite.connection_string.replace(f":{azurite.blob_port}/", f":{free_port()}/")
    host = make_host(AzureWebJobsStorage=away)
    host.start()
    host.wait_logged("blob storage can't be listed")
    assert host.run("chain", 1)["output"] == 4
    started = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - started < 14
    assert host.log.read_text().count("blob storage can't be listed") == 1


def test_a_connection_that_is_none_stops_the_start(make_host: Callable[..., HostProcess]) -> None:
    code, lines = make_host(AzureWebJobsStorage="nonsense").refusal()
    assert (code, "AzureWebJobsStorage" in lines[-1]) == (2, True)


def test_a_folder_that_is_deleted_is_made_again(host: HostProcess) -> None:
    host.put("streams", "any", b"")
    folder = host.store / "streams"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    until = time.monotonic() + 3
    while not folder.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert folder.exists()
