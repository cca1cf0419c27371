"""Who may have work done: callers with a token of the issuer, for this service, with the role in it."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import jwt

from gpu_container.errors import StageError
from gpu_container.settings import GpuSettings
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
# for probes and Prometheus, inside the network; every other path wants a token
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
# one only: a token must not choose how it is checked
_ALGORITHM = "RS256"
_FETCH_LIMIT_S = 5.0
# age at which the keys are fetched again, and the shortest time between two fetches
_REFRESH_S, _INTERVAL_S = 3600.0, 30.0
# how long known keys are good while the issuer does not respond
_LIFETIME_S = 86_400.0
# how far the clocks may differ
_CLOCK_SKEW_S = 60.0
_MAX_KEYS_BYTES = 512 * 1024
_MAX_TOKEN_CHARS = 16 * 1024
_RETRY_AFTER_S = 5.0


class UnauthorizedError(StageError):
    """No token, or none that is good here."""

    code, status = "unauthorized", 401
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012  # never changed


class ForbiddenError(StageError):
    """A good token without the role."""

    code, status = "forbidden", 403


class AuthUnavailableError(StageError):
    """The issuer's keys can't be fetched, so no caller is admitted."""

    code, status = "auth_unavailable", 503
    retry_after_s = _RETRY_AFTER_S


class KeySet:
    """The issuer's signing keys (JWKS), fetched when first needed and kept within bounds.

    Fetched again every hour, and for an unknown key id, but at most twice a minute. While the issuer does
    not respond the known keys stay good for a day.
    """

    def __init__(self, settings: GpuSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched: float | None = None
        self._tried: float | None = None

    def key(self, key_id: str) -> Any:
        """The public key of that id. Raises ``UnauthorizedError`` and ``AuthUnavailableError``."""
        with self._lock:
            now = self._clock()
            if (key_id not in self._keys or self._older(now, _REFRESH_S)) and (
                self._tried is None or now - self._tried >= _INTERVAL_S
            ):
                self._tried = now
                self._fetch(now)
            if self._older(now, _LIFETIME_S):
                raise AuthUnavailableError("The keys of the token issuer can't be had.")
            if key_id not in self._keys:
                raise UnauthorizedError("The token is signed with an unknown key.")
            return self._keys[key_id]

    def _older(self, now: float, age_s: float) -> bool:
        return self._fetched is None or now - self._fetched >= age_s

    def _fetch(self, now: float) -> None:
        try:
            keys = _signing_keys(str(self._settings.auth.jwks_url))
        except (OSError, ValueError, jwt.PyJWTError) as error:
            _log.warning("auth_keys_unavailable", reason=type(error).__name__)
            return
        self._keys, self._fetched = keys, now


def _signing_keys(url: str) -> dict[str, Any]:
    """RSA signing keys by id. Raises ``OSError`` and ``ValueError``."""
    with urllib.request.urlopen(url, timeout=_FETCH_LIMIT_S) as answer:  # noqa: S310  # a setting
        body = answer.read(_MAX_KEYS_BYTES + 1)
    if len(body) > _MAX_KEYS_BYTES:
        raise ValueError("the key set is too long")
    told = json.loads(body)
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no key set")
    wanted = [
        key
        for key in listed
        if isinstance(key, dict)
        and key.get("kty") == "RSA"
        and key.get("use", "sig") == "sig"
        and isinstance(key.get("kid"), str)
    ]
    if not wanted:
        raise ValueError("no signing key")
    return {key["kid"]: jwt.PyJWK(key, algorithm=_ALGORITHM).key for key in wanted}


class CallerGate:
    """Lets a caller in or raises; lets everybody in where no issuer is set."""

    def __init__(self, settings: GpuSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._keys = KeySet(settings, clock) if settings.auth.issuer else None
        if self._keys is None:
            _log.info("auth_disabled", reason="GPU_AUTH names no issuer")

    def admit(self, authorization: str) -> None:
        """Check an Authorization header.

        Raises ``UnauthorizedError``, ``ForbiddenError``, ``AuthUnavailableError``.
        """
        if self._keys is None:
            return
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN_CHARS:
            raise UnauthorizedError("This service wants a bearer token.")
        roles = self._claims(self._keys, token).get("roles")
        if not isinstance(roles, list) or self._settings.auth.role not in roles:
            raise ForbiddenError(f"The token does not hold the role {self._settings.auth.role}.")

    def _claims(self, keys: KeySet, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key_id = header.get("kid")
            if header.get("alg") != _ALGORITHM or not isinstance(key_id, str):
                raise UnauthorizedError(f"The token must be signed with {_ALGORITHM} and name its key.")
            claims: dict[str, Any] = jwt.decode(
                token,
                keys.key(key_id),
                algorithms=[_ALGORITHM],
                audience=self._settings.auth.audience,
                issuer=self._settings.auth.issuer,
                leeway=_CLOCK_SKEW_S,
                options={"require": ["exp", "nbf", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise UnauthorizedError(f"The token is not good here: {type(error).__name__}.") from error
        return claims
