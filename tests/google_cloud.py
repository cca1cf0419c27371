"""Google Cloud over HTTP, strict: its token service, service accounts, and Vertex AI before the simulator."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.servers import Server

POOL = "projects/12345/locations/global/workloadIdentityPools/azure/providers/entra"
ACCOUNT = "imagery@shop.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
WORDS = f"project=shop location=eu pool={POOL} app_id=api://google"
_SCOPES = {SCOPE, "https://www.googleapis.com/auth/iam"}
_TOKEN_TYPES = "urn:ietf:params:oauth:token-type:"
_MODELS = "/v1beta1/projects/shop/locations/eu/publishers/google/models/"
_FORM = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "audience": f"//iam.googleapis.com/{POOL}",
    "requested_token_type": f"{_TOKEN_TYPES}access_token",
    "subject_token_type": f"{_TOKEN_TYPES}jwt",
}


@dataclass
class GoogleCloud:
    """Every request is checked field by field; ``asked`` keeps what the token services were asked."""

    subject: str = "first"
    lifetime_s: int = 3600
    # status and body with which the token service refuses
    refuses: tuple[int, Any] | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)
    # tokens of this many exchanges are no longer accepted
    revoked: int = 0

    def __post_init__(self) -> None:
        self.simulator = Simulator(SimulatorOptions(latency_s=0.0)).app()
        routes = [
            Route("/v1/token", self._exchange, methods=["POST"]),
            Route("/v1/projects/-/serviceAccounts/{call}", self._account, methods=["POST"]),
        ]
        self._tokens = Starlette(routes=routes)
        self._exchanges = 0
        self.server = Server(self)

    def environment(self, words: str = WORDS) -> dict[str, str]:
        """The variables of an app that calls this."""
        return {"NANO_BANANA_PROVIDER": f"name=vertex {words} url={self.server.url}"}

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Google's addresses lead here."""
        monkeypatch.setattr("imagery.providers.google_tokens.STS_URL", f"{self.server.url}/v1/token")
        monkeypatch.setattr("imagery.providers.google_tokens.IAM_URL", self.server.url)

    def bill(self, job_id: str) -> tuple[int, int]:
        """Calls and pictures of a job."""
        told = self.server.client.get("/_simulator/bill").json()["by_job"].get(job_id, {})
        return told.get("calls", 0), told.get("billed", 0)

    def fault(self, *names: str, **more: object) -> None:
        """What the next calls end with."""
        answer = self.server.client.post("/_simulator/faults", json={"next": list(names), **more})
        answer.raise_for_status()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.startswith("/v1/"):
            await self._tokens(scope, receive, send)
        elif path.startswith(_MODELS):
            await self._vertex(scope, receive, send)
        elif scope["type"] == "lifespan" or path.startswith("/_simulator/"):
            await self.simulator(scope, receive, send)
        else:
            await JSONResponse({"error": f"{path} is not of Vertex"}, 404)(scope, receive, send)

    async def _exchange(self, request: Request) -> Response:
        assert request.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.asked.append(("exchange", form))
        if self.refuses is not None:
            return JSONResponse(self.refuses[1], self.refuses[0])
        scope = form.get("scope")
        if form != {**_FORM, "scope": scope, "subject_token": self.subject} or scope not in _SCOPES:
            return JSONResponse({"error": "invalid_request", "error_description": f"{form}"}, 400)
        self._exchanges += 1
        return JSONResponse(
            {
                "access_token": f"federated-{self._exchanges}",
                "issued_token_type": f"{_TOKEN_TYPES}access_token",
                "token_type": "Bearer",
                "expires_in": self.lifetime_s,
            }
        )

    async def _account(self, request: Request) -> Response:
        # Google's library sends a field that it leaves empty
        body = {name: value for name, value in json.loads(await request.body()).items() if value}
        self.asked.append(("account", body))
        is_known = request.headers["Authorization"] == f"Bearer federated-{self._exchanges}"
        if not is_known or request.path_params["call"] != f"{ACCOUNT}:generateAccessToken":
            return JSONResponse({"error": {"code": 403, "message": "Permission denied."}}, 403)
        if body != {"scope": [SCOPE], "lifetime": "3600s"}:
            return JSONResponse({"error": {"code": 400, "message": f"{body}"}}, 400)
        ends = datetime.fromtimestamp(time.time() + self.lifetime_s, UTC)
        token = {"accessToken": f"account-{self._exchanges}", "expireTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
        return JSONResponse(token)

    async def _vertex(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if not self._is_let_in(request):
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            told = {"code": 401, "message": f"invalid credentials: {token}", "status": "UNAUTHENTICATED"}
            await request.body()
            await JSONResponse({"error": told}, 401)(scope, receive, send)
            return
        body = await request.body()
        if request.url.path.endswith(":countTokens"):
            await JSONResponse({"totalTokens": 1})(scope, receive, send)
            return
        self.labels.append(json.loads(body).get("labels", {}))
        has_come = False

        async def again() -> Any:
            nonlocal has_come
            if has_come:
                return await receive()
            has_come = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.simulator(scope, again, send)

    def _is_let_in(self, request: Request) -> bool:
        found = re.fullmatch(r"Bearer (?:federated|account)-(\d+)", request.headers.get("Authorization", ""))
        return bool(found and self.revoked < int(found[1]) <= self._exchanges)

    def stop(self) -> None:
        self.server.stop()
