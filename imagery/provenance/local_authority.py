"""A certificate authority for tests, made at the first run on this machine: nobody else trusts it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from imagery.provenance.signer import RAW_BYTES, SignerMisconfiguredError

# of C2PA claim signing; emailProtection is what older readers ask for
_CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
_ROOT, _CHAIN, _KEY = "root.pem", "chain.pem", "signer.key"
_LIFETIME = timedelta(days=825)
# a clock that is a little behind still accepts it
_BEFORE = timedelta(days=1)
_RENEWED_BEFORE_END = timedelta(days=30)


@dataclass(frozen=True)
class LocalSigner:
    """Signs with a key that lies in a file. See ``imagery.provenance.signer.Signer``."""

    key: ec.EllipticCurvePrivateKey
    chain_pem: str
    anchors_pem: str

    def sign_digest(self, digest: bytes) -> bytes:
        """ES256 of a SHA-256 digest as r and s."""
        der = self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        return b"".join(part.to_bytes(RAW_BYTES // 2) for part in decode_dss_signature(der))


def issue(authority: str, signer: str) -> LocalSigner:
    """A new authority and one signer of it. The authority's key is thrown away: it signs nothing more."""
    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _name(authority, authority)
    root = (
        _builder(root_name, root_name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION, _CLAIM_SIGNING])
    leaf = (
        _builder(_name(signer, authority), root_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    root_pem, leaf_pem = (each.public_bytes(Encoding.PEM).decode() for each in (root, leaf))
    return LocalSigner(key, leaf_pem + root_pem, root_pem)


def local_signer(folder: Path) -> LocalSigner:
    """The signer of this machine, made now if ``folder`` has none, or one that ends soon.

    Processes that start at the same time end up with the same one. Raises ``SignerMisconfiguredError``.
    """
    with suppress(FileNotFoundError):
        found = _load(folder)
        if _ends(found) > datetime.now(UTC) + _RENEWED_BEFORE_END:
            return found
        shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _store(made, issue("Imagery TEST authority of this machine", "Imagery TEST signer"))
        # fails where another process was first, whose signer then counts
        with suppress(OSError):
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    try:
        return _load(folder)
    except FileNotFoundError as error:
        raise SignerMisconfiguredError(f"The folder {folder} can't be written.") from error


def _load(folder: Path) -> LocalSigner:
    key = load_pem_private_key((folder / _KEY).read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SignerMisconfiguredError(f"{folder / _KEY} holds no key on P-256. Delete {folder}.")
    return LocalSigner(key, (folder / _CHAIN).read_text(), (folder / _ROOT).read_text())


def _store(folder: Path, signer: LocalSigner) -> None:
    private = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    (folder / _CHAIN).write_text(signer.chain_pem)
    (folder / _ROOT).write_text(signer.anchors_pem)


def _ends(signer: LocalSigner) -> datetime:
    return x509.load_pem_x509_certificates(signer.chain_pem.encode())[0].not_valid_after_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        ]
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
