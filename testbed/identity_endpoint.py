"""The identity endpoint of App Service, over HTTP: what azure-identity asks in the cloud."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testbed.servers import Server

_SECRET = "identity-header"


@dataclass
class IdentityEndpoint:
    """Gives ``token`` to whoever asks with the header; ``asked`` keeps (resource, client id)."""

    token: str = "first"
    lifetime_s: int = 3600
    broken: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = Server(Starlette(routes=[Route("/msi/token", self._answer)]))

    @property
    def environment(self) -> dict[str, str]:
        """What an app is told of it."""
        return {"IDENTITY_ENDPOINT": f"{self._server.url}/msi/token", "IDENTITY_HEADER": _SECRET}

    async def _answer(self, request: Request) -> Response:
        if request.headers.get("X-IDENTITY-HEADER") != _SECRET:
            return JSONResponse({"message": "no"}, 401)
        resource = request.query_params["resource"]
        self.asked.append((resource, request.query_params.get("client_id", "")))
        if self.broken:
            return JSONResponse({"statusCode": 400, "message": "no identity"}, 400)
        expires = int(time.time()) + self.lifetime_s
        return JSONResponse(
            {
                "access_token": self.token,
                "expires_on": str(expires),
                "resource": resource,
                "token_type": "Bearer",
            }
        )

    def stop(self) -> None:
        """End it."""
        self._server.stop()
