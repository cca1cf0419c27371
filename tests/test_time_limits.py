"""No function comes near functionTimeout: one that passes it takes its worker, and others' paid calls."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from azure.core.exceptions import AzureError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from activities import place
from imagery import identity, services
from imagery.contracts import BlobRef
from imagery.database import engine as database
from imagery.database.engine import make_engine
from imagery.database.migrate import _migrating
from imagery.environment import SettingsError, read
from imagery.providers import google_tokens, nano_banana
from imagery.settings import LONGEST_CALL_S, Settings
from imagery.storage import AzureBlobStorage, StorageError, azure_blob
from lifecycle import tick
from testbed.stack import ROOT

KEY = "bm90IGEga2V5"
_REF = BlobRef(container="jobs", name="a")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for each in taken:
            each.close()


def _storage(port: int) -> AzureBlobStorage:
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=silent;AccountKey={KEY};"
        f"BlobEndpoint=http://127.0.0.1:{port}/silent;"
    )
    return AzureBlobStorage.from_settings(read(Settings, {"AzureWebJobsStorage": connection}))


@pytest.mark.parametrize(
    "call",
    [
        lambda storage: storage.exists(_REF),
        lambda storage: storage.read(_REF),
        lambda storage: storage.write(_REF, b"x", "image/png"),
        lambda storage: storage.copy(_REF, _REF),
        lambda storage: storage.delete(_REF),
        lambda storage: list(storage.list("jobs")),
    ],
    ids=["exists", "read", "write", "copy", "delete", "list"],
)
def test_a_storage_that_hangs_is_given_up(
    silent: int, monkeypatch: pytest.MonkeyPatch, call: Callable[[AzureBlobStorage], object]
) -> None:
    monkeypatch.setattr(azure_blob, "_READ_S", 0.1)
    monkeypatch.setattr(azure_blob, "_RETRIES", 0)
    with pytest.raises(StorageError):
        call(_storage(silent))


def test_a_database_that_hangs_is_given_up(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # two seconds are the least that libpq knows
    monkeypatch.setitem(database._POSTGRES_LIMITS, "connect_timeout", 2)
    engine = make_engine(f"postgresql+psycopg://nobody@127.0.0.1:{silent}/none")
    with pytest.raises(OperationalError, match="timeout"):
        engine.connect()


@pytest.mark.postgres
def test_a_statement_that_hangs_is_given_up_and_a_migration_is_not(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database._POSTGRES_LIMITS, "options", "-c statement_timeout=300ms")
    engine = make_engine(postgres_url)
    with engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(30)"))
    with _migrating(engine) as connection:
        connection.execute(text("SELECT pg_sleep(0.5)"))
    # whoever asks for another limit gets it
    own = make_url(postgres_url).update_query_dict({"options": "-c statement_timeout=7s"})
    with make_engine(own.render_as_string(hide_password=False)).connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "7s"


def test_an_identity_endpoint_that_hangs_is_given_up(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{silent}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    monkeypatch.setitem(identity._LIMITS, "read_timeout", 0.1)
    monkeypatch.setitem(identity._LIMITS, "retry_total", 0)
    credential = identity.make_credential(read(Settings, {"AZURE_CREDENTIAL": "managed_identity"}))
    with pytest.raises(AzureError):
        credential.get_token("https://storage.azure.com/.default")


@pytest.mark.parametrize("name", ["GPU_RETRY", "NANO_BANANA_RETRY", "CALLBACK_RETRY"])
def test_no_setting_lets_a_call_come_near_the_hosts_time_out(name: str) -> None:
    assert read(Settings, {name: f"timeout_s={LONGEST_CALL_S:g}"})
    with pytest.raises(SettingsError, match="less than or equal to"):
        read(Settings, {name: f"timeout_s={LONGEST_CALL_S + 1:g}"})


def test_a_paid_call_for_4k_has_twice_the_time() -> None:
    retry = Settings().nano_banana.retry
    assert (retry.limit_s("1K"), retry.limit_s("2K"), retry.limit_s("4K")) == (300.0, 300.0, 600.0)
    assert retry.longest_s == 600.0


def test_a_sent_call_is_overdue_only_when_nothing_can_come_any_more() -> None:
    around_s = nano_banana._CONNECT_TIMEOUT_S + nano_banana._FETCH_TIMEOUT_S
    assert around_s < services._ANSWER_MARGIN_S and around_s < place._LEASE_MARGIN_S


def test_all_limits_of_one_activity_together_are_below_the_hosts_time_out() -> None:
    """The longest call, and beside it one hang of each thing that an activity uses."""
    hours, minutes, seconds = json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":")
    allowed_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    tries = azure_blob._RETRIES + 1
    storage_s = tries * (azure_blob._CONNECT_S + azure_blob._READ_S) + 2**tries + 2 * tries
    database_s = database._STATEMENT_S + database._POSTGRES_LIMITS["connect_timeout"]
    limits = identity._LIMITS
    token_s = (limits["retry_total"] + 1) * (limits["connection_timeout"] + limits["read_timeout"]) + 10
    retry = read(Settings, {"NANO_BANANA_RETRY": f"timeout_s={LONGEST_CALL_S:g}"}).nano_banana.retry
    # to the second provider the call may go when the first one has taken all its time
    paid_s = 2 * (retry.longest_s + place._LEASE_MARGIN_S)
    # its token is fetched before, and once more where it is refused
    paid_s += 2 * 2 * (google_tokens._TIMEOUT_S + google_tokens._CONNECT_TIMEOUT_S)
    assert paid_s > LONGEST_CALL_S
    # the cut-out is read, the picture written
    assert paid_s + 2 * storage_s + database_s + token_s < allowed_s
    assert allowed_s >= 3 * tick.PART_S


def test_a_part_of_a_tick_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick, "PART_S", 0.05)

    async def hangs() -> int:
        await asyncio.sleep(60)
        return 1

    async def counts() -> int:
        return 3

    begun = time.monotonic()
    assert asyncio.run(tick.within_limit("hangs", hangs())) == 0
    assert asyncio.run(tick.within_limit("counts", counts())) == 3
    assert time.monotonic() - begun < 30
