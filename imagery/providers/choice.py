"""The providers that the settings name."""

from __future__ import annotations

from imagery.identity import TOKEN_MARGIN_S, Tokens, make_credential
from imagery.providers.access import Access, GeminiApi
from imagery.providers.google_tokens import GoogleTokens
from imagery.providers.nano_banana import NanoBanana
from imagery.providers.vertex import Vertex
from imagery.settings import ProviderChoice, ProviderName, Settings


def make_providers(settings: Settings) -> tuple[NanoBanana, ...]:
    """One or two, in the order in which they are asked."""
    return tuple(_provider(settings, choice) for choice in settings.nano_banana.provider.choices)


def _provider(settings: Settings, choice: ProviderChoice) -> NanoBanana:
    return NanoBanana(settings, _access(settings, choice.name), choice.model)


def _access(settings: Settings, name: ProviderName) -> Access:
    if name is ProviderName.GEMINI_API:
        return GeminiApi(settings.nano_banana)
    words = settings.nano_banana.provider
    entra = Tokens(make_credential(settings), f"{words.app_id}/.default", TOKEN_MARGIN_S)
    return Vertex(words, GoogleTokens(words, entra))
