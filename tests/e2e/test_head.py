"""HEAD over the running host, read byte by byte: the same head as GET, and no body."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from email import message_from_string
from email.message import Message

import pytest

from testbed.stack import Stack

# what differs from one request to the next
VOLATILE = {"date", "x-request-id"}


@dataclass(frozen=True)
class Raw:
    """A response as it came over the wire."""

    status: int
    headers: Message
    body: bytes

    @property
    def lasting(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items() if name.lower() not in VOLATILE}


def ask(stack: Stack, method: str, path: str, **headers: str) -> Raw:
    """Send one request and read until the host closes the connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while more := connection.recv(65536):
            received += more
    head, _, body = received.partition(b"\r\n\r\n")
    first, _, rest = head.decode().partition("\r\n")
    return Raw(int(first.split()[1]), message_from_string(rest), body)


def key_of(stack: Stack) -> dict[str, str]:
    return {"X-API-Key": stack.client.headers["X-API-Key"]}


@pytest.fixture(scope="module")
def job_id(stack: Stack, photo: bytes) -> str:
    made = stack.submit(photo)
    assert stack.wait_for_end(made)["state"] == "COMPLETED"
    return made


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/openapi.json",
        "/docs",
        "/assets/nothing.js",
        "/api/v1/jobs/{job_id}/images/source",
        "/api/v1/jobs/{job_id}/images/rembg?width=64",
        "/api/v1/jobs/{job_id}/images/nothing",
        "/api/v1/jobs/{job_id}/guardrail",
        "/api/v1/status/{job_id}",
        "/api/v1/jobs",
        "/api/v1/process",
        "/nothing",
    ],
)
def test_head_is_get_without_the_body(stack: Stack, job_id: str, path: str) -> None:
    address = path.format(job_id=job_id)
    got, head = (ask(stack, method, address, **key_of(stack)) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (got.status, b"")
    links = {"location"} if got.status == 302 else set()
    assert {name: value for name, value in head.lasting.items() if name not in links} == {
        name: value for name, value in got.lasting.items() if name not in links
    }
    assert int(head.headers["Content-Length"]) == len(got.body)


def test_head_of_an_asset_is_that_of_its_compressed_get(stack: Stack) -> None:
    script = re.search(r'src="(/assets/[^"]+\.js)"', ask(stack, "GET", "/").body.decode())
    if script is None:
        pytest.skip("the dashboard is not built")
    got, head = (ask(stack, method, script[1], **{"Accept-Encoding": "gzip"}) for method in ("GET", "HEAD"))
    assert (head.status, head.body, head.lasting) == (200, b"", got.lasting)
    assert int(head.headers["Content-Length"]) == len(got.body) > 0


def test_a_monitor_gets_the_health_without_a_body(stack: Stack) -> None:
    head = ask(stack, "HEAD", "/healthz")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == "application/json"


def test_head_without_a_key_is_refused_as_get_is(stack: Stack, job_id: str) -> None:
    for path in ("/api/v1/jobs", f"/api/v1/jobs/{job_id}/images/source"):
        head = ask(stack, "HEAD", path)
        assert (head.status, head.body, head.headers["WWW-Authenticate"]) == (401, b"", "Bearer")


def test_a_body_that_is_not_there_is_not_waited_for(stack: Stack, job_id: str) -> None:
    started = time.monotonic()
    for path in ("/api/v1/logs?after=9000000000&wait=25", "/api/v1/logs?after=9000000000"):
        head = ask(stack, "HEAD", path, **key_of(stack))
        assert (head.status, head.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert ask(stack, "HEAD", f"/api/v1/status/{job_id}?wait=25", **key_of(stack)).status == 200
    assert time.monotonic() - started < 15
