"""A receiver of callbacks that does not take them at once."""

from __future__ import annotations

from collections import deque

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from testbed.servers import Server


class Receiver:
    """Responds with ``statuses`` one after the other, then with 204."""

    def __init__(self, statuses: tuple[int, ...]) -> None:
        self._statuses = deque(statuses)
        self.bodies: list[bytes] = []
        self._server = Server(Starlette(routes=[Route("/", self._take, methods=["POST"])]))
        self.url = self._server.url + "/"

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    async def _take(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        return Response(status_code=self._statuses.popleft() if self._statuses else 204)
