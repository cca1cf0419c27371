"""Google Cloud's Vertex AI: the same models without a key, billed to a project of one's own."""

from __future__ import annotations

import re
from typing import Any, Protocol

from imagery.providers.access import FreeQuestion
from imagery.settings import ProviderName, ProviderWords

# locations of several regions have a domain of their own
_MULTI_REGIONS = frozenset({"eu", "us"})
_MAX_LABEL = 63
_NOT_IN_LABELS = re.compile(r"[^a-z0-9_-]")


class BearerTokens(Protocol):
    """Tokens for Google's services."""

    def get(self) -> str:
        """A token that is valid now. Raises ``NanoBananaError``."""
        ...

    def forget(self, token: str) -> None:
        """This token was refused: the next one is another."""
        ...


class Vertex:
    """Vertex AI in the project and location of the settings."""

    name = ProviderName.VERTEX
    # its page on pricing: only requests that return 200 are charged
    charges_pictures_only = True

    def __init__(self, words: ProviderWords, tokens: BearerTokens) -> None:
        self.base_url = words.url or vertex_url(words.location)
        self._models = (
            f"/v1beta1/projects/{words.project}/locations/{words.location}/publishers/google/models"
        )
        self._tokens = tokens

    def missing(self) -> str | None:
        # the settings refuse to be read without what it needs
        return None

    def path(self, model: str) -> str:
        return f"{self._models}/{model}:generateContent"

    def free_question(self, model: str) -> FreeQuestion:
        # the description of a model is public; counting tokens needs the rights of a paid call
        body = {"contents": [{"role": "user", "parts": [{"text": "."}]}]}
        return FreeQuestion("POST", f"{self._models}/{model}:countTokens", body)

    def extras(self, job_id: str) -> dict[str, Any]:
        return {"labels": {"job_id": label(job_id)}}

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens.get()}"}

    def renew(self, refused: dict[str, str]) -> bool:
        self._tokens.forget(refused["Authorization"].removeprefix("Bearer "))
        return True


def vertex_url(location: str) -> str:
    """The address of a location: ``global``, a region, or one of several regions."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def label(value: str) -> str:
    """``value`` as a label on Google's bill may be: lower case, digits, - and _, 63 at most."""
    return _NOT_IN_LABELS.sub("-", value.lower())[:_MAX_LABEL]
