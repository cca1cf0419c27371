"""HEAD without a host: the app itself sends no body and says how long that of GET is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from api.middleware import HeadAsGet


def sent(path: str, query: bytes = b"") -> list[dict[str, Any]]:
    """What the app sends for a HEAD."""

    def echo(request: Request) -> Response:
        return JSONResponse([request.method, request.query_params.get("wait")])

    def parts(_: Request) -> Response:
        return StreamingResponse(iter([b"one", b"two"]))

    def empty(_: Request) -> Response:
        return Response(status_code=304)

    app = HeadAsGet(Starlette(routes=[Route("/echo", echo), Route("/parts", parts), Route("/empty", empty)]))
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        # the client stays
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(dict(message))

    scope = {"type": "http", "method": "HEAD", "path": path, "query_string": query, "headers": []}
    asyncio.run(app(scope, receive, send))
    return messages


def length(message: dict[str, Any]) -> bytes | None:
    return dict(message["headers"]).get(b"content-length")


@pytest.mark.parametrize(
    ("path", "status", "size"),
    [("/echo", 200, b"11"), ("/parts", 200, b"6"), ("/empty", 304, None), ("/nothing", 404, b"9")],
)
def test_the_head_is_sent_with_the_length_and_one_empty_body(
    path: str, status: int, size: bytes | None
) -> None:
    start, *rest = sent(path)
    assert (start["status"], length(start)) == (status, size)
    assert rest == [{"type": "http.response.body", "body": b"", "more_body": False}]


def test_it_waits_for_nothing_whatever_the_query_says() -> None:
    waited = len(b'["GET","0"]')
    for query in (b"", b"wait=25", b"a=1&wait=600&b=2"):
        assert length(sent("/echo", query)[0]) == str(waited).encode()
