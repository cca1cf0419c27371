"""No secret in any log line, wherever it stands."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from imagery.api_keys import new_key
from imagery.database.engine import Database, make_engine
from imagery.database.tables import ApiKey
from imagery.telemetry.logs import configure_logging, get_logger
from imagery.telemetry.redaction import redact

KEY = new_key().text
SECRETS = [
    f"refused {KEY} from 1.2.3.4",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is the secret",
    "calling with AIzaSyD-1234567890abcdefghijklmnopqrstuv",
    "Authorization: Bearer abcdefghij.klmnop-qrs",
    "header Basic dXNlcjpwYXNzd29yZA==",
    "postgresql+psycopg://app:hunter2secret@db/imagery failed",
    "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1==;Blob=1",
    "https://x.blob.core.windows.net/uploads/a.png?sv=2024&sr=b&sig=abc%2Bdef%3D&se=2026",
    "password=hunter2secret, user=app",
    '{"x-goog-api-key": "hunter2secret"}',
    "GET /api/x?code=hunter2secret&y=1",
    "https://x.example/cb?access_token=hunter2secret&x=1",
    "client_secret=hunter2secret refresh-token: hunter2secret",
    f"cookie igs_{'hunter2secret' * 3}",
    "POST https://hooks.slack.com/services/T012345/B012345/hunter2secret failed",
    "https://discord.com/api/webhooks/123/hunter2secret",
    "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
]
PARTS = [
    KEY.split("_", 2)[2],
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "AIzaSyD",
    "abcdefghij.klmnop-qrs",
    "dXNlcjpwYXNzd29yZA",
    "hunter2secret",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1",
    "abc%2Bdef",
    "eyJzdWIiOiIxMjM0In0",
]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged from here on."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    configure_logging("DEBUG", handler=handler)
    yield stream
    logging.getLogger().removeHandler(handler)


# numbered: the key is another one in each process that collects the tests
@pytest.mark.parametrize("text", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_is_hidden_wherever_it_stands(lines: io.StringIO, text: str) -> None:
    log = get_logger("test")
    log.info(text)
    log.info("x", detail=text, nested={"list": [text], "error": ValueError(text)})
    logging.getLogger("foreign").warning("told: %s", text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed")
    written = lines.getvalue()
    assert [part for part in PARTS if part in written] == []
    assert "***" in written
    for line in written.splitlines():
        assert json.loads(line)["version"]


def test_a_named_secret_is_hidden_whatever_it_looks_like(lines: io.StringIO) -> None:
    get_logger("test").info(
        "x", api_key="abc", password="p", database={"connection_string": "c0nn"}, token=None
    )
    line = json.loads(lines.getvalue())
    assert (line["api_key"], line["password"], line["token"]) == ("***", "***", None)
    assert line["database"] == {"connection_string": "***"}


def test_headers_and_bytes_are_secrets_too() -> None:
    told = redact(
        {"headers": {"X-API-Key": "abc", "x-functions-key": "abc", "Cookie": "a=b"}, "token": b"abc"}
    )
    assert told == {
        "headers": {"X-API-Key": "***", "x-functions-key": "***", "Cookie": "***"},
        "token": "***",
    }


def test_an_error_of_the_database_tells_no_values(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(OperationalError) as raised, Database(engine).write() as session:
        session.add(ApiKey(prefix="a", user_id="ann", salt="salt of a key", hash="hash of a key"))
    engine.dispose()
    assert "api_key" in str(raised.value)
    assert "of a key" not in str(raised.value)


def test_what_is_no_secret_stays() -> None:
    harmless = {
        "event": "stage_finished",
        "job_id": "c60a004e-9eae-53e5-aefd-1d44efef6cb2",
        "error": "quota_usd_per_day: code=quota, the token of the day",
        "duration_ms": 1.5,
        "cached": True,
        "source": "uploads/key/monkey.jpg",
        "key_prefix": "igp_abcdefghjk",
    }
    assert redact(harmless) == harmless
