"""The program's identity in Azure: one credential, chosen by a setting, and tokens kept while valid."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError

from imagery.settings import AzureCredential, Settings, get_settings

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

# tokens are renewed this long before they end
TOKEN_MARGIN_S = 300.0
# while the old token is still good
_NEXT_TRY_S = 15.0
# an endpoint that hangs is given up after a minute; the SDK's own limit is five minutes a try
_LIMITS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10, "retry_total": 3}


class TokenUnavailableError(Exception):
    """No token could be obtained: the identity is missing, or its endpoint does not respond."""


def make_credential(settings: Settings) -> TokenCredential:
    """The credential these settings name.

    ``managed_identity`` asks the platform only, ``developer`` the signed-in Azure CLI or azd only;
    ``auto`` tries everything ``DefaultAzureCredential`` knows.
    """
    # slow to import, only needed in the cloud
    from azure.identity import (
        AzureCliCredential,
        AzureDeveloperCliCredential,
        ChainedTokenCredential,
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    if settings.azure.credential is AzureCredential.MANAGED_IDENTITY:
        return ManagedIdentityCredential(client_id=settings.azure.client_id, **_LIMITS)
    if settings.azure.credential is AzureCredential.DEVELOPER:
        return ChainedTokenCredential(AzureCliCredential(), AzureDeveloperCliCredential())
    return DefaultAzureCredential(managed_identity_client_id=settings.azure.client_id, **_LIMITS)


@lru_cache(maxsize=1)
def get_credential() -> TokenCredential:
    """The credential of this process."""
    return make_credential(get_settings())


class Tokens:
    """Tokens for one ``scope``, each kept until ``margin_s`` before it ends. Threads may share it."""

    def __init__(self, credential: TokenCredential, scope: str, margin_s: float) -> None:
        self._credential = credential
        self._scope = scope
        self._margin_s = margin_s
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._next_try = 0.0

    def get(self) -> str:
        """A token that is valid now. Raises ``TokenUnavailableError``."""
        with self._lock:
            now = time.time()
            token = self._token
            usable = token is not None and now < token.expires_on
            fresh = token is not None and now < token.expires_on - self._margin_s
            if token is not None and (fresh or (usable and now < self._next_try)):
                return token.token
            try:
                self._token = self._credential.get_token(self._scope)
            except AzureError as error:
                if token is None or not usable:
                    raise TokenUnavailableError(
                        f"no token for {self._scope}: {type(error).__name__}"
                    ) from error
                self._next_try = now + _NEXT_TRY_S
                return token.token
            return self._token.token
