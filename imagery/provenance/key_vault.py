"""A key in Azure Key Vault that never leaves it: it gets a digest and returns the signature."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from imagery.identity import TOKEN_MARGIN_S, Tokens, TokenUnavailableError
from imagery.provenance.signer import (
    SignerMisconfiguredError,
    SignerRefusedError,
    SignerUnavailableError,
    fits,
    public_key,
)

SCOPE = "https://vault.azure.net/.default"
_API_VERSION = "7.4"
_KEY_URL = re.compile(r"https://[a-z0-9.-]+(?::\d+)?/keys/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?/?")
_SECRET_URL = re.compile(r"https://[a-z0-9.-]+(?::\d+)?/secrets/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?/?")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_MAX_PEM = 1024 * 1024
_AGAIN = {408, 429, 500, 502, 503, 504}


class Vault:
    """Calls of Key Vault, each with a time limit and without retries. Raises ``SignerError``."""

    def __init__(self, tokens: Tokens, client: httpx.Client | None = None) -> None:
        self._tokens = tokens
        self._client = client or httpx.Client(timeout=_TIMEOUT)

    def sign(self, key_url: str, digest: bytes) -> bytes:
        """ES256 of a SHA-256 digest: r and s."""
        value = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        answer = self._call("POST", f"{key_url.rstrip('/')}/sign", {"alg": "ES256", "value": value})
        try:
            return base64.urlsafe_b64decode(answer + "=" * (-len(answer) % 4))
        except (binascii.Error, ValueError) as error:
            raise SignerUnavailableError("Key Vault's signature can't be read.") from error

    def secret(self, secret_url: str) -> str:
        """The text of a secret."""
        return self._call("GET", secret_url.rstrip("/"), None)

    def _call(self, method: str, url: str, body: dict[str, str] | None) -> str:
        try:
            headers = {"Authorization": f"Bearer {self._tokens.get()}"}
            answer = self._client.request(
                method, url, params={"api-version": _API_VERSION}, headers=headers, json=body
            )
        except TokenUnavailableError as error:
            raise SignerUnavailableError("No token for Key Vault could be obtained.") from error
        except httpx.HTTPError as error:
            raise SignerUnavailableError(f"Key Vault did not respond: {type(error).__name__}.") from error
        if answer.status_code in _AGAIN:
            raise SignerUnavailableError(f"Key Vault responded with {answer.status_code}.")
        if not answer.is_success:
            raise SignerRefusedError(
                f"Key Vault responded with {answer.status_code}. The app's identity needs the role "
                "Key Vault Crypto User, and CONTENT_CREDENTIALS the right key."
            )
        try:
            return str(answer.json()["value"])
        except (ValueError, KeyError, TypeError) as error:
            raise SignerUnavailableError("Key Vault's response can't be read.") from error


class KeyVaultSigner:
    """Signs with a key in Key Vault. See ``imagery.provenance.signer.Signer``; threads may share it."""

    anchors_pem = ""

    def __init__(self, key_url: str, load_chain: Callable[[], str], vault: Vault) -> None:
        """``load_chain`` returns the certificates as PEM. Raises ``SignerMisconfiguredError``."""
        if not _KEY_URL.fullmatch(key_url):
            raise SignerMisconfiguredError(
                "CONTENT_CREDENTIALS: key must be https://VAULT.vault.azure.net/keys/NAME/VERSION."
            )
        self._key_url = key_url
        self._load_chain = load_chain
        self._vault = vault
        self._lock = threading.Lock()
        self._chain: str | None = None

    @property
    def chain_pem(self) -> str:
        """The certificates, loaded once."""
        with self._lock:
            if self._chain is None:
                self._chain = certificates_in(self._load_chain())
            return self._chain

    def sign_digest(self, digest: bytes) -> bytes:
        """A signature that the certificate confirms. Raises ``SignerError``."""
        chain = self.chain_pem
        signature = self._vault.sign(self._key_url, digest)
        if not fits(chain, digest, signature):
            # the key was rotated: the next attempt reads its new certificate
            with self._lock:
                self._chain = None
            raise SignerMisconfiguredError("The key in Key Vault is not that of the certificate.")
        return signature


def chain_loader(place: str, vault: Vault) -> Callable[[], str]:
    """What loads the text of ``place``: a file, or a secret in Key Vault by its URL."""
    if _SECRET_URL.fullmatch(place):
        return lambda: vault.secret(place)
    return lambda: file_text(Path(place))


def file_text(file: Path) -> str:
    """The text of a file with certificates. Raises ``SignerMisconfiguredError``."""
    try:
        with file.open(encoding="ascii") as opened:
            return opened.read(_MAX_PEM)
    except (OSError, ValueError) as error:
        raise SignerMisconfiguredError(f"The certificates in {file} can't be read.") from error


def certificates_in(text: str) -> str:
    """The certificates in ``text``, without a private key that may lie beside them.

    Raises ``SignerMisconfiguredError``.
    """
    chain = "".join(each.rstrip("\n") + "\n" for each in _CERTIFICATE.findall(text[:_MAX_PEM]))
    public_key(chain)
    return chain


def vault_tokens(credential: object) -> Tokens:
    """Tokens for Key Vault."""
    return Tokens(credential, SCOPE, TOKEN_MARGIN_S)  # type: ignore[arg-type]
