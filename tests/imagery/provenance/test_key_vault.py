"""Key Vault signs digests with a key that nobody sees; whatever else it responds, nothing wrong is signed."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from imagery.identity import Tokens
from imagery.provenance.key_vault import KeyVaultSigner, Vault, certificates_in, chain_loader
from imagery.provenance.local_authority import LocalSigner, issue
from imagery.provenance.sign import PictureSigner, SigningError
from imagery.provenance.signer import (
    SignerMisconfiguredError,
    SignerRefusedError,
    SignerUnavailableError,
    fits,
)
from testbed.pictures import encoded
from tests.imagery.provenance.conftest import statement

VERSION = "0123456789abcdef0123456789abcdef"
KEY = f"https://pictures.vault.azure.net/keys/credentials/{VERSION}"
SECRET = "https://pictures.vault.azure.net/secrets/credentials"
DIGEST = hashlib.sha256(b"what is signed").digest()


class FakeVault:
    """Key Vault at its HTTP boundary: it knows one key and one secret, and is strict about both."""

    def __init__(self, key: LocalSigner, secret: str) -> None:
        self.key, self.secret = key, secret
        self.requests: list[str] = []
        self.respond: Callable[[], httpx.Response] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if self.respond is not None:
            return self.respond()
        if request.headers.get("Authorization") != "Bearer a-token":
            return _error(401, "Unauthorized")
        if request.url.params.get("api-version") != "7.4":
            return _error(400, "BadParameter")
        if request.method == "GET" and request.url.path == "/secrets/credentials":
            return httpx.Response(200, json={"value": self.secret, "contentType": "application/x-pem-file"})
        if request.method != "POST" or request.url.path != f"/keys/credentials/{VERSION}/sign":
            return _error(404, "KeyNotFound")
        body = json.loads(request.content)
        if set(body) != {"alg", "value"} or body["alg"] != "ES256" or "=" in body["value"]:
            return _error(400, "BadParameter")
        digest = base64.urlsafe_b64decode(body["value"] + "=" * (-len(body["value"]) % 4))
        if len(digest) != 32:
            return _error(400, "BadParameter")
        value = base64.urlsafe_b64encode(self.key.sign_digest(digest)).rstrip(b"=").decode()
        return httpx.Response(200, json={"kid": KEY, "value": value})


def _error(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": "words of Azure"}})


class Token:
    token = "a-token"
    expires_on = time.time() + 3600


class Credential:
    scope = ""

    def get_token(self, scope: str, **_: Any) -> Token:
        self.scope = scope
        return Token()


@pytest.fixture
def key() -> LocalSigner:
    return issue("A public CA", "A company")


@pytest.fixture
def fake(key: LocalSigner) -> FakeVault:
    return FakeVault(key, key.chain_pem)


@pytest.fixture
def signer(fake: FakeVault) -> KeyVaultSigner:
    tokens = Tokens(Credential(), "https://vault.azure.net/.default", 300)  # type: ignore[arg-type]
    vault = Vault(tokens, httpx.Client(transport=httpx.MockTransport(fake)))
    return KeyVaultSigner(KEY, chain_loader(SECRET, vault), vault)


def test_a_picture_is_signed_by_a_key_in_the_vault(
    signer: KeyVaultSigner, fake: FakeVault, key: LocalSigner
) -> None:
    signed = PictureSigner(signer, key.anchors_pem).sign(encoded(), "image/png", statement())
    assert signed.credentials.state == "trusted"
    assert signed.credentials.manifest is not None
    assert signed.credentials.manifest.signer == "A company"
    assert fake.requests == ["GET /secrets/credentials", f"POST /keys/credentials/{VERSION}/sign"]


@pytest.mark.parametrize(
    ("respond", "error"),
    [
        (lambda: _error(403, "Forbidden"), SignerRefusedError),
        (lambda: _error(404, "KeyNotFound"), SignerRefusedError),
        (lambda: _error(429, "Throttled"), SignerUnavailableError),
        (lambda: _error(503, "Busy"), SignerUnavailableError),
        (lambda: httpx.Response(200, text="<html>"), SignerUnavailableError),
        (lambda: httpx.Response(200, json=[]), SignerUnavailableError),
        (lambda: httpx.Response(200, json={"value": "a"}), SignerUnavailableError),
    ],
)
def test_what_is_no_signature_is_none(
    signer: KeyVaultSigner, fake: FakeVault, respond: Callable[[], httpx.Response], error: type[Exception]
) -> None:
    assert signer.chain_pem
    fake.respond = respond
    with pytest.raises(error) as raised:
        signer.sign_digest(DIGEST)
    assert "words of Azure" not in str(raised.value)


def test_a_vault_that_hangs_is_given_up(signer: KeyVaultSigner, fake: FakeVault) -> None:
    def hang() -> httpx.Response:
        raise httpx.ReadTimeout("too slow")

    fake.respond = hang
    with pytest.raises(SigningError) as raised:
        PictureSigner(signer).sign(encoded(), "image/png", statement())
    assert (raised.value.code, raised.value.retryable) == ("signing_unavailable", True)


def test_after_a_rotation_the_new_certificate_is_read(signer: KeyVaultSigner, fake: FakeVault) -> None:
    assert signer.chain_pem
    fake.key = issue("A public CA", "A company")
    fake.secret = fake.key.chain_pem
    with pytest.raises(SignerMisconfiguredError, match="not that of the certificate"):
        signer.sign_digest(DIGEST)
    assert fits(fake.secret, DIGEST, signer.sign_digest(DIGEST))


def test_a_private_key_beside_the_certificates_is_left_out(key: LocalSigner) -> None:
    private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert certificates_in(private + key.chain_pem) == key.chain_pem
    with pytest.raises(SignerMisconfiguredError):
        certificates_in(private)


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.vault.azure.net/keys/credentials",
        "https://pictures.vault.azure.net/secrets/credentials",
        f"{KEY}/sign",
        f"{KEY}?x=1",
        "https://pictures.vault.azure.net@evil.example/keys/credentials",
    ],
)
def test_only_a_key_in_a_vault_is_called(url: str) -> None:
    vault = Vault(Tokens(Credential(), "", 0))  # type: ignore[arg-type]
    with pytest.raises(SignerMisconfiguredError, match="key must be https"):
        KeyVaultSigner(url, str, vault)
