"""Callback URLs: nothing of this network can be reached by them, by whatever name."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from imagery import safe_http
from imagery.safe_http import RefusedUrlError, UnreachableError, check_url, post
from testbed.ports import free_port
from testbed.servers import Server

PUBLIC = "93.184.215.14"
# what a name server would answer; the tests have none
NAMES = {
    "public.example": [PUBLIC],
    "public.example.": [PUBLIC],
    "rebind.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "mixed.example": ["93.184.215.14", "10.0.0.5"],
    "six.example": ["fd00:ec2::254"],
    "platform.example": ["168.63.129.16"],
}

REFUSED = [
    "http://public.example/hook",
    "ftp://public.example/hook",
    "file:///etc/passwd",
    "gopher://public.example/",
    "https://",
    "https:///path",
    "not a url",
    "https://user:secret@public.example/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://localhost/",
    "https://LOCALHOST:8443/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/metadata/instance",
    "https://168.63.129.16/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://rebind.example/",
    "https://metadata.example/",
    "https://mixed.example/",
    "https://six.example/",
    "https://platform.example/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127\u30020.0.1/",
    "https://public.example/" + "a" * 2100,
    "https://0.1.2.3/",
    "https://198.18.0.1/",
    "https://192.0.0.192/",
    "https://192.88.99.1/",
    "https://100.100.100.200/",
    "https://169.254.170.2/",
    "https://localhost./",
    "https://a.localhost/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[2a01:111::5efe:10.0.0.1]/",
    "https://[2a01:111::200:5efe:10.0.0.1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[fec0::1]/",
    "https://[ff0e::1]/",
    "https://%31%32%37.0.0.1/",
    "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
    "https://127.0.0.1#@public.example/",
    "https://127.0.0.1\\.public.example/",
    "https://public.example\\@127.0.0.1/",
    "https://public.example:0/",
    "https://public.example:99999/",
    "https://public.example:-1/",
    "https://public.example:443:443/",
    "https://public.example/\r\nX-Injected: yes",
    "https://public.example/\tx",
    "https://public.example\0.evil/",
    "https://\ud800/",
    "https://.example/",
    "https://" + "a" * 300 + ".example/",
    "https://[::1",
    "//public.example/",
    "javascript:alert(1)",
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], list[str]]]:
    """A name server of the test's own; addresses and this machine's names are resolved as ever."""
    real = socket.getaddrinfo
    answers: dict[str, Callable[[], list[str]]] = {
        name: (lambda found=found: found)  # type: ignore[misc]
        for name, found in NAMES.items()
    }

    def resolve(host: str, port: int, *more: Any, **others: Any) -> list[Any]:
        if host in answers:
            return [
                entry for address in answers[host]() for entry in real(address, port, type=socket.SOCK_STREAM)
            ]
        if host.endswith(".example"):
            raise socket.gaierror("unknown")
        return real(host, port, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection is opened to; none is really opened."""
    opened: list[str] = []

    def connect(_: object, host: str, *more: Any, **others: Any) -> Any:
        opened.append(host)
        raise httpcore.ConnectError("this test opens no connection")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    return opened


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_into_this_network_is_refused_when_it_is_given(names: object, url: str) -> None:
    with pytest.raises(RefusedUrlError):
        check_url(url, allow_loopback=False)


@pytest.mark.parametrize("url", REFUSED)
def test_and_again_when_it_is_called(names: object, connections: list[str], url: str) -> None:
    with pytest.raises((RefusedUrlError, UnreachableError)):
        post(url, b"{}", {}, timeout_s=2, allow_loopback=False)
    assert [each for each in connections if each != PUBLIC] == [], "nothing private was connected to"


def test_a_public_one_is_accepted_without_its_fragment(names: object) -> None:
    assert check_url("https://public.example/hook?a=b#c", allow_loopback=False) == (
        "https://public.example/hook?a=b"
    )
    assert check_url("https://nowhere.example/", allow_loopback=False), "looked at again when it is called"


@pytest.mark.parametrize(
    "url",
    [
        "https://public.example./a",
        "https://public.example:8443/a_b%0d%0aX",
        "https://[2620:fe::fe]/",
        "https://9.9.9.9/",
    ],
)
def test_other_public_ones_are_accepted(names: object, url: str) -> None:
    assert check_url(url, allow_loopback=False) == url


def test_a_name_that_turns_private_between_check_and_call_is_refused(
    names: dict[str, Callable[[], list[str]]], receiver: Receiver
) -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"], ["127.0.0.1"]])
    names["turning.example"] = lambda: next(answers)
    url = check_url(f"https://turning.example:{receiver.port}/ok", allow_loopback=False)
    with pytest.raises(RefusedUrlError):
        post(url, b"{}", {}, timeout_s=2, allow_loopback=False)
    assert receiver.requests == []


class Receiver:
    """Counts what arrives, and answers as its path says."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        app = FastAPI()
        app.post("/{what}")(self.answer)
        self.server = Server(app)
        self.url = self.server.url
        self.port = int(self.url.rsplit(":", 1)[1])

    async def answer(self, what: str, request: Request) -> Response:
        self.requests.append(what)
        await request.body()
        if what == "redirect":
            return RedirectResponse(f"{self.url}/private", 307)
        if what == "busy":
            return Response("later", 503, {"Retry-After": "7"})
        if what == "long":
            return Response(b"x" * 10_000_000)
        return Response("ok")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.stop()


def test_development_may_call_this_machine_and_nothing_else_private(receiver: Receiver) -> None:
    url = check_url(f"{receiver.url}/ok", allow_loopback=True)
    assert post(url, b"{}", {"a": "b"}, timeout_s=5, allow_loopback=True).status == 200
    for private in ("http://10.0.0.1/", "https://192.168.0.1/", "https://169.254.169.254/"):
        with pytest.raises(RefusedUrlError):
            check_url(private, allow_loopback=True)


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    answer = post(f"{receiver.url}/redirect", b"{}", {}, timeout_s=5, allow_loopback=True)
    assert answer.status == 307
    assert receiver.requests == ["redirect"]


def test_a_wait_that_was_asked_for_is_told(receiver: Receiver) -> None:
    answer = post(f"{receiver.url}/busy", b"{}", {}, timeout_s=5, allow_loopback=True)
    assert (answer.status, answer.retry_after_s) == (503, 7.0)


def test_a_long_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    started = time.monotonic()
    assert post(f"{receiver.url}/long", b"{}", {}, timeout_s=5, allow_loopback=True).status == 200
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("what", ["header", "body"])
def test_an_answer_that_drips_ends_at_the_limit(what: str) -> None:
    port, ended = free_port(), threading.Event()
    listener = socket.create_server(("127.0.0.1", port))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            if what == "body":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            try:
                while not ended.wait(0.1):
                    connection.sendall(b"X")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    try:
        with pytest.raises(UnreachableError):
            post(f"http://127.0.0.1:{port}/", b"{}", {}, timeout_s=1, allow_loopback=True)
        assert time.monotonic() - started < 20
    finally:
        ended.set()
        thread.join()
        listener.close()


def test_nobody_listening_is_unreachable() -> None:
    with pytest.raises(UnreachableError):
        post(f"http://127.0.0.1:{free_port()}/", b"{}", {}, timeout_s=2, allow_loopback=True)


def test_names_that_nobody_answers_keep_no_other_name_waiting(
    names: dict[str, Callable[[], list[str]]],
) -> None:
    """Twenty names of one silent domain, and a name of another one."""
    answers = threading.Event()

    def silent() -> list[str]:
        answers.wait(30)
        return ["93.184.216.34"]

    hosts = [f"h{number}.silent.example" for number in range(20)]
    names.update(dict.fromkeys(hosts, silent))
    names["good.other.example"] = lambda: ["93.184.216.34"]
    try:
        with ThreadPoolExecutor(20) as pool:
            stuck = [pool.submit(safe_http._resolve, host, 443, 0.2) for host in hosts]
            found = safe_http._resolve("good.other.example", 443, 5.0)
            assert [str(each) for each in found] == ["93.184.216.34"]
            assert all(isinstance(each.exception(), UnreachableError) for each in stuck)
        assert len(safe_http._lookups) == safe_http._LOOKUPS_OF_A_DOMAIN
    finally:
        answers.set()


def test_many_who_ask_for_one_name_share_one_lookup(names: dict[str, Callable[[], list[str]]]) -> None:
    asked: list[None] = []
    answers = threading.Event()

    def slow() -> list[str]:
        asked.append(None)
        answers.wait(30)
        return ["93.184.216.34"]

    names["hooks.shared.example"] = slow
    with ThreadPoolExecutor(20) as pool:
        found = [pool.submit(safe_http._resolve, "Hooks.shared.example.", 443, 30.0) for _ in range(20)]
        time.sleep(0.1)
        answers.set()
        assert {tuple(map(str, each.result())) for each in found} == {("93.184.216.34",)}
    assert len(asked) == 1
