"""A request for a certificate, signed by a key that stays in Key Vault."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from imagery.provenance.key_vault import Vault, vault_tokens
from infra.csr import VaultKey, request

VERSION = "0123456789abcdef0123456789abcdef"
URL = f"https://pictures.vault.azure.net/keys/content-credentials/{VERSION}"
SUBJECT = "CN=Example Studio,O=Example Studio,C=DE"


class Token:
    token = "a-token"
    expires_on = time.time() + 3600


class Credential:
    def get_token(self, *_: str, **__: Any) -> Token:
        return Token()


def vault_with(key: ec.EllipticCurvePrivateKey) -> Vault:
    """Key Vault at its HTTP boundary: r and s of a digest, without padding."""

    def sign(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", f"/keys/content-credentials/{VERSION}/sign")
        value = json.loads(request.content)["value"]
        digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        raw = r.to_bytes(32) + s.to_bytes(32)
        return httpx.Response(200, json={"value": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()})

    return Vault(vault_tokens(Credential()), httpx.Client(transport=httpx.MockTransport(sign)))


def test_a_request_is_signed_in_the_vault_and_names_its_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.load_pem_x509_csr(request(VaultKey(vault_with(key), URL, key.public_key()), SUBJECT).encode())
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert csr.subject.rfc4514_string() == SUBJECT


def test_a_public_key_of_another_version_makes_no_request() -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    with pytest.raises(ValueError, match="the same version"):
        request(VaultKey(vault_with(key), URL, other.public_key()), SUBJECT)
