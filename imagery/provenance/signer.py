"""Who signs: the protocol of a signer, its errors, and the choice by the settings."""

from __future__ import annotations

from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

RAW_BYTES = 64
TIMESTAMP_UNAVAILABLE = "timestamp_unavailable"


class SignerError(Exception):
    """A signer that did not sign. ``retryable``: a later attempt may succeed. ``code`` is stable.

    ``SignerUnavailableError``: its key can't be reached now. ``SignerRefusedError``: its key is not ours to
    use, or does not exist. ``SignerMisconfiguredError``: key, certificate and settings don't fit together.
    """

    code = "signing_failed"
    retryable = False


class SignerUnavailableError(SignerError):
    """The key did not respond in time."""

    code = "signing_unavailable"
    retryable = True


class SignerRefusedError(SignerError):
    """The key may not be used, or does not exist. No retry cures it."""

    code = "signing_refused"


class SignerMisconfiguredError(SignerError):
    """Key, certificate and settings don't fit together. No retry cures it."""

    code = "signing_misconfigured"


# codes of what a picture may wait for before it can be signed
SIGNING_CODES = frozenset(
    {
        TIMESTAMP_UNAVAILABLE,
        *(
            each.code
            for each in (SignerError, SignerUnavailableError, SignerRefusedError, SignerMisconfiguredError)
        ),
    }
)


class Signer(Protocol):
    """A key on P-256 and the certificates that speak for it.

    ``chain_pem``: its certificate first, then those above it. ``anchors_pem``: a root that readers of this
    installation trust beside their list; empty where the certificate is of a public CA.
    """

    @property
    def chain_pem(self) -> str: ...

    @property
    def anchors_pem(self) -> str: ...

    def sign_digest(self, digest: bytes) -> bytes:
        """ES256 of a SHA-256 digest: r and s, 32 bytes each. Raises ``SignerError``."""
        ...


def public_key(chain_pem: str) -> ec.EllipticCurvePublicKey:
    """The key of a chain's first certificate. Raises ``SignerMisconfiguredError``."""
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem.encode())[0]
        key = leaf.public_key()
    except (ValueError, IndexError) as error:
        raise SignerMisconfiguredError("The signer's certificate can't be read.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SignerMisconfiguredError("The signer's certificate is not of a key on P-256.")
    return key


def fits(chain_pem: str, digest: bytes, signature: bytes) -> bool:
    """True if the chain's first certificate confirms a raw signature of ``digest``."""
    if len(signature) != RAW_BYTES:
        return False
    half = RAW_BYTES // 2
    der = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    try:
        public_key(chain_pem).verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True
