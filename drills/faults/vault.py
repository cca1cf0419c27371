"""Key Vault and the identity that opens it, over HTTP: its key signs, or is away for a number of calls."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imagery.provenance.local_authority import issue
from testbed.certificate import write_certificate
from testbed.identity_endpoint import IdentityEndpoint
from testbed.servers import Server

_VERSION = "0123456789abcdef0123456789abcdef"


class VaultStandIn:
    """Signs with one key under any name, so that each run may have one of its own."""

    def __init__(self, folder: Path) -> None:
        self._signer = issue("TEST authority of the drill", "TEST signer of the drill")
        self._chain = folder / "chain.pem"
        self._chain.write_text(self._signer.chain_pem)
        self._certificate = write_certificate(folder / "vault.pem")
        self._identity = IdentityEndpoint()
        self._lock = threading.Lock()
        self._away: Counter[str] = Counter()
        route = Route("/keys/{name}/{version}/sign", self._sign, methods=["POST"])
        self._server = Server(Starlette(routes=[route]), certificate=self._certificate)

    def stay_away(self, name: str, calls: int) -> None:
        """The next ``calls`` of this key fail."""
        with self._lock:
            self._away[name] = calls

    def environment(self, name: str) -> dict[str, str]:
        """Settings of a host that signs with the key ``name``."""
        key = f"{self._server.url}/keys/{name}/{_VERSION}"
        return {
            **self._identity.environment,
            "AZURE_CREDENTIAL": "managed_identity",
            "CONTENT_CREDENTIALS": f"key={key} certificate={self._chain}",
            "SSL_CERT_FILE": str(self._certificate),
        }

    def stop(self) -> None:
        """End both."""
        self._server.stop()
        self._identity.stop()

    async def _sign(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {self._identity.token}":
            return JSONResponse({"error": {"code": "Unauthorized"}}, 401)
        name = request.path_params["name"]
        with self._lock:
            is_away = self._away[name] > 0
            self._away[name] -= is_away
        if is_away:
            return JSONResponse({"error": {"code": "ServiceUnavailable"}}, 503)
        value: str = (await request.json())["value"]
        digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        signature = base64.urlsafe_b64encode(self._signer.sign_digest(digest)).rstrip(b"=").decode()
        return JSONResponse({"kid": str(request.url), "value": signature})
