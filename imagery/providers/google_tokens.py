"""Tokens of Google Cloud without a key: Workload Identity Federation.

The app's identity in Entra ID has a token; Google's token service exchanges it, because a workload identity
pool trusts that tenant, and a service account may be acted for with what comes back.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import datetime
from typing import Any

import httpx

from imagery.identity import Tokens, TokenUnavailableError
from imagery.providers.deadline import Deadline
from imagery.providers.errors import NanoBananaError, OutOfServiceError, ServiceUnavailableError
from imagery.settings import ProviderWords

STS_URL = "https://sts.googleapis.com/v1/token"
IAM_URL = "https://iamcredentials.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# enough to act for a service account, and for nothing else
_SCOPE_OF_ACCOUNTS = "https://www.googleapis.com/auth/iam"
# of each of the two requests, all in all
_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 5.0
# tokens are renewed this long before they end, short-lived ones at the half of their life
_MARGIN_S = 300.0
_LIFETIME_S = 3600
_MAX_REASON = 300
_TOKEN = re.compile(r"[\w-]{20,}\.[\w-]+\.[\w-]*")


class GoogleTokens:
    """Access tokens, each kept until shortly before it ends. Threads may share it."""

    def __init__(self, words: ProviderWords, entra: Tokens) -> None:
        self._words = words
        self._entra = entra
        self._client = httpx.Client(
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = 0.0

    def get(self) -> str:
        """A token that is valid now. Raises ``ServiceUnavailableError``, ``OutOfServiceError``."""
        with self._lock:
            if time.time() >= self._good_until:
                begun = time.time()
                self._token, lifetime_s = self._fetch()
                self._good_until = begun + lifetime_s - min(_MARGIN_S, lifetime_s / 2)
            return self._token

    def forget(self, token: str) -> None:
        """This token was refused: the next one is another."""
        with self._lock:
            # unless another thread has fetched that other one already
            if token == self._token:
                self._good_until = 0.0

    def _fetch(self) -> tuple[str, float]:
        """A new token and its life in seconds."""
        try:
            subject = self._entra.get()
        except TokenUnavailableError as error:
            raise _unavailable("no token of Entra ID for the app registration in app_id") from error
        account = self._words.service_account
        told = self._post(
            STS_URL,
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "audience": f"//iam.googleapis.com/{self._words.pool}",
                "scope": _SCOPE if account is None else _SCOPE_OF_ACCOUNTS,
                "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "subject_token": subject,
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            },
        )
        if account is None:
            return _text(told, "access_token"), _number(told, "expires_in")
        told = self._post(
            f"{IAM_URL}/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
            headers={"Authorization": f"Bearer {_text(told, 'access_token')}"},
            json={"scope": [_SCOPE], "lifetime": f"{_LIFETIME_S}s"},
        )
        return _text(told, "accessToken"), _seconds_until(_text(told, "expireTime"))

    def _post(self, url: str, **more: Any) -> dict[str, Any]:
        request = self._client.build_request("POST", url, **more)
        try:
            with Deadline(request, _TIMEOUT_S):
                answer = self._client.send(request)
        except httpx.HTTPError as error:
            raise _unavailable(f"{request.url.host} did not respond ({type(error).__name__})") from error
        if answer.is_success:
            return _object(answer)
        raise _refusal(answer)


def _unavailable(why: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        "nano_banana_token_unavailable", f"No token for the image model could be obtained: {why}."
    )


def _refusal(answer: httpx.Response) -> NanoBananaError:
    """What the token service says against the identity is for an operator; its own failures pass."""
    host = answer.request.url.host
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or not 400 <= answer.status_code < 500:
        return _unavailable(f"{host} responded with {answer.status_code}")
    return OutOfServiceError(
        "nano_banana_token_refused",
        f"Google does not accept the app's identity ({host} responded with {answer.status_code}). "
        f"Check the pool, its provider and the service account. {_reason(answer)}".strip(),
    )


def _reason(answer: httpx.Response) -> str:
    """What the token service says, without the token in it."""
    try:
        told = answer.json()
        error = told["error"]
        text = error["message"] if isinstance(error, dict) else told.get("error_description", error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return _TOKEN.sub("***", str(text))[:_MAX_REASON]


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _unavailable(f"{answer.request.url.host} did not return JSON")
    return told


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value:
        raise _unavailable(f"the token service returned no {name}")
    return value


def _number(told: dict[str, Any], name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unavailable(f"the token service returned no {name}")
    return float(value)


def _seconds_until(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp() - time.time()
    except ValueError as error:
        raise _unavailable("the token service returned no time in expireTime") from error
