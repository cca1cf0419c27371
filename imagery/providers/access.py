"""How a service of Google is reached: its addresses, and the proof of who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from imagery.providers.errors import CallRejectedError
from imagery.settings import NanoBananaSettings, ProviderName


@dataclass(frozen=True)
class FreeQuestion:
    """A request that costs nothing and fails as a paid one would."""

    method: str
    path: str
    body: dict[str, Any] | None = None


class Access(Protocol):
    """One way to the model. ``charges_pictures_only``: whatever is no 200 of Google costs nothing."""

    name: ProviderName
    base_url: str
    charges_pictures_only: bool

    def missing(self) -> str | None:
        """What an operator has to set first, in a sentence. Returns None if nothing is missing."""
        ...

    def path(self, model: str) -> str:
        """The path of ``generateContent``."""
        ...

    def free_question(self, model: str) -> FreeQuestion:
        """What ``look`` asks."""
        ...

    def extras(self, job_id: str) -> dict[str, Any]:
        """What belongs into the body beside the order."""
        ...

    def headers(self) -> dict[str, str]:
        """The proof of who asks. Raises ``NanoBananaError``; nothing was sent then."""
        ...

    def renew(self, refused: dict[str, str]) -> bool:
        """The service did not accept these headers. Returns True if ``headers`` may return others now."""
        ...


class GeminiApi:
    """Google's Gemini API, or what stands in for it at ``NANO_BANANA_BASE_URL``, with an API key."""

    name = ProviderName.GEMINI_API
    charges_pictures_only = False

    def __init__(self, settings: NanoBananaSettings) -> None:
        self.base_url = settings.base_url
        self._key = settings.api_key

    def missing(self) -> str | None:
        if self._key is None:
            return "NANO_BANANA_API_KEY is not set, or its secret can't be read from Key Vault."
        return None

    def path(self, model: str) -> str:
        return f"/v1beta/models/{model}:generateContent"

    def free_question(self, model: str) -> FreeQuestion:
        return FreeQuestion("GET", f"/v1beta/models/{model}")

    def extras(self, job_id: str) -> dict[str, Any]:
        return {}

    def headers(self) -> dict[str, str]:
        if self._key is None:
            raise CallRejectedError("nano_banana_not_configured", str(self.missing()))
        return {"x-goog-api-key": self._key.get_secret_value()}

    def renew(self, refused: dict[str, str]) -> bool:
        return False
