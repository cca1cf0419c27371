"""HTTP triggers, from the outside."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from devhost.http import compile_route
from tests.devhost.process import MAX_BODY, HostProcess


def test_routes_queries_headers_and_bodies_arrive(host: HostProcess) -> None:
    answer = host.client.post("/echo/7/word?a=1&a=2&b=3", content=b"\x00\xff", headers={"X-Test": "t"})
    shown = answer.json()
    assert shown["method"] == "POST"
    assert shown["params"] == {"id": "7", "word": "word"}
    assert (shown["query"], shown["header"], shown["body"]) == ({"a": "1,2", "b": "3"}, "t", "00ff")
    assert answer.headers["X-Answer"] == "yes"
    assert host.client.get("/echo/7").json()["params"] == {"id": "7"}


def test_repeated_request_headers_are_joined(host: HostProcess) -> None:
    answer = host.client.get("/echo/7", headers=[("X-Test", "a"), ("X-Test", "b")])
    assert answer.json()["header"] == "a,b"


def test_head_has_the_length_that_the_function_says_and_no_body(host: HostProcess) -> None:
    for path, length in (("/sized", 123), ("/texts/word", len(host.client.get("/texts/word").content))):
        with socket.create_connection(("127.0.0.1", host.port), timeout=30) as connection:
            request = f"HEAD {path} HTTP/1.1\r\nHost: {host.client.base_url.netloc.decode()}\r\n"
            connection.sendall(f"{request}Connection: close\r\n\r\n".encode())
            received = b""
            while more := connection.recv(65536):
                received += more
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"200 OK" in head.splitlines()[0]
        assert f"content-length: {length}".encode() in head.lower().splitlines()
        assert body == b""


def test_every_cookie_of_an_answer_arrives(host: HostProcess) -> None:
    assert host.client.get("/cookies").headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]


def test_settings_come_from_the_file_and_the_environment_wins(host: HostProcess) -> None:
    assert host.client.get("/echo/1").json()["settings"] == ["file", "environment"]


def test_a_function_gets_the_types_of_the_real_worker(host: HostProcess) -> None:
    shown = host.client.get("/texts/word").json()
    assert shown["types"] == ["azure.functions.http", "HttpRequest", "bytes"]
    assert shown["function"] == "texts"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("a%20b", "a b"),
        ("100%25", "100%"),
        ("100%2525", "100%25"),
        ("a%2Fb", "a%2Fb"),
        ("a%3Fb", "a?b"),
        ("%C3%BC", "ü"),
    ],
)
def test_an_escaped_path_is_decoded_once(host: HostProcess, sent: str, text: str) -> None:
    shown = host.client.get(f"/texts/{sent}").json()
    assert shown["text"] == text
    assert shown["url"].endswith(f"/texts/{sent}")


def test_a_literal_route_goes_before_a_parameter(host: HostProcess) -> None:
    assert host.client.get("/texts/special").text == "the literal route"


def test_head_answers_without_a_body(host: HostProcess) -> None:
    answer = host.client.head("/texts/word")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_binary_answers_are_unharmed(host: HostProcess) -> None:
    assert host.client.get("/bytes").content == bytes(range(256))


def test_a_function_that_returns_nothing_answers_204(host: HostProcess) -> None:
    assert host.client.get("/nothing_back").status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/echo/word", 404),
        ("DELETE", "/echo/1", 405),
        ("GET", "/guarded", 401),
        ("GET", "/guarded?code=wrong", 401),
        ("GET", "/broken", 500),
    ],
)
def test_errors_of_the_host_are_problems_without_internals(
    host: HostProcess, method: str, path: str, status: int
) -> None:
    answer = host.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_the_log_has_the_traceback_that_the_answer_hides(host: HostProcess) -> None:
    host.client.get("/broken")
    assert 'raise RuntimeError("secret internals")' in host.wait_logged("RuntimeError: secret internals")


def test_a_wrong_method_is_told_the_right_ones(host: HostProcess) -> None:
    assert host.client.delete("/echo/1").headers["Allow"] == "GET, POST"


def test_a_function_key_opens_a_guarded_function(host: HostProcess) -> None:
    key = (host.state / "function.key").read_text()
    assert host.client.get("/guarded", headers={"x-functions-key": key}).text == "inside"
    assert host.client.get("/guarded", params={"code": key}).text == "inside"
    assert (host.state / "function.key").stat().st_mode & 0o077 == 0


def test_a_body_at_the_limit_passes_and_one_above_does_not(host: HostProcess) -> None:
    assert host.client.post("/size", content=b"x" * MAX_BODY).text == str(MAX_BODY)
    assert host.client.post("/size", content=b"x" * (MAX_BODY + 1)).status_code == 413


def test_a_body_without_a_length_arrives_empty_as_in_the_real_host(host: HostProcess) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * 1000

    assert host.client.post("/size", content=chunks()).text == "0"


def test_a_declared_size_above_the_limit_is_refused_before_the_body(host: HostProcess) -> None:
    with socket.create_connection(("127.0.0.1", host.port), timeout=5) as connection:
        connection.sendall(b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_function_that_runs_too_long_is_given_up(host: HostProcess) -> None:
    started = time.monotonic()
    assert host.client.get("/sleep/30000").status_code == 500
    assert 3 <= time.monotonic() - started < 25
    host.wait_logged("the time-out of 0:00:03 was exceeded by sleep")


def test_requests_beyond_the_limit_get_429_with_a_wait(host: HostProcess) -> None:
    def ask(_: int) -> httpx.Response:
        # far longer than it takes to send all of them
        return host.client.get("/sleep/2500")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [429] * 4
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 429)


def test_a_line_of_the_app_is_logged_once(host: HostProcess) -> None:
    host.client.get("/texts/only-once")
    assert host.wait_logged("one line for only-once").count("one line for only-once") == 1


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("{*path}", "", {"path": ""}),
        ("{*path}", "a/b", {"path": "a/b"}),
        ("files/{*path}", "files", {"path": None}),
        ("files/{*path}", "files/a/b", {"path": "a/b"}),
        ("files/{*path}", "filesystem", None),
        ("jobs/{id}", "jobs/7", {"id": "7"}),
        ("jobs/{id}", "Jobs/7", {"id": "7"}),
        ("jobs/{id}", "jobs/7/8", None),
        ("jobs/{id:int}", "jobs/x", None),
        ("jobs/{id?}", "jobs", {"id": None}),
        ("{id:guid}", "5f0c0a0e-1111-2222-3333-444455556666", {"id": "5f0c0a0e-1111-2222-3333-444455556666"}),
        ("a.b", "aXb", None),
    ],
)
def test_route_templates(template: str, path: str, expected: dict[str, Any] | None) -> None:
    match = compile_route(template).fullmatch(path)
    assert (match.groupdict() if match else None) == expected


def test_a_constraint_that_the_host_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="regex"):
        compile_route("jobs/{id:regex}")
