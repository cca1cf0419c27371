"""The two addresses of the service: the Gemini API with a key, and Vertex AI with a bearer token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from local.nano_banana_answers import error
from local.nano_banana_models import MODELS

_METHODS = ["generateContent", "countTokens"]


@dataclass(frozen=True)
class Door:
    """One address: who may come in, and what it knows. ``versions`` of the API are those in its paths."""

    is_vertex: bool
    versions: frozenset[str]

    def not_found(self, request: Request, model: str) -> Response | None:
        """404. Returns None where the model is known."""
        if request.path_params["version"] in self.versions and model in MODELS:
            return None
        if not self.is_vertex:
            return error(404, "NOT_FOUND", f"models/{model} is not found.")
        path = request.url.path.partition("/projects/")[2]
        name = f"projects/{path}".partition(":")[0] if path else f"publishers/google/models/{model}"
        return error(404, "NOT_FOUND", f"Publisher Model `{name}` was not found.")

    def stranger(self, request: Request, access_token: str | None) -> Response | None:
        """401 or 403. Returns None for a caller with a key, or with the token. None: any token will do."""
        if not self.is_vertex:
            if request.headers.get("x-goog-api-key"):
                return None
            return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip() and access_token in {None, token.strip()}:
            return None
        return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")

    def description(self, model: str) -> dict[str, Any]:
        """The model's own resource."""
        if self.is_vertex:
            return {"name": f"publishers/google/models/{model}", "versionId": "default", "launchStage": "GA"}
        return {"name": f"models/{model}", "supportedGenerationMethods": _METHODS}


DEVELOPER = Door(is_vertex=False, versions=frozenset({"v1", "v1beta"}))
VERTEX = Door(is_vertex=True, versions=frozenset({"v1", "v1beta1"}))
