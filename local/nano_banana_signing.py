"""Content Credentials in simulated pictures, as the paid model's have them, from a chain that nobody trusts.

Root and leaf are made when the simulator first starts, and say in their names that they are for tests.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ORGANISATION = "Simulated image service (not Google)"
_ROOT_NAME = "Simulated test root certificate, not Google"
_LEAF_NAME = "Simulated test certificate, not Google"
# the purpose that C2PA gave to certificates for claims
_CLAIM_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
_MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_DAYS = 365
# a thumbnail costs most of the time; what was signed is checked where it arrives
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_TEXT = b"tEXt"
_SIGNATURE_BYTES = 8


class PictureSigner:
    """Signs pictures; safe between threads. ``root_pem``: the certificate that a checker has to trust.

    ``chain_file`` keeps key and certificates, so that who trusts the root does so after a restart too.
    """

    def __init__(self, chain_file: Path | None = None) -> None:
        self._key, self._chain = _kept(chain_file) or _new_chain()
        if chain_file is not None and not chain_file.exists():
            chain_file.parent.mkdir(parents=True, exist_ok=True)
            chain_file.touch(mode=0o600)
            chain_file.write_bytes(self._key + self._chain)
        self.root_pem = (_BEGIN + self._chain.rpartition(_BEGIN)[2]).decode()

    def sign(self, picture: bytes, content_type: str, model: str) -> bytes:
        """The same picture with a manifest that says which model created it."""
        info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, self._chain, self._key, None)
        signed = io.BytesIO()
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(json.dumps(_claim(model)), context=context) as builder,
        ):
            builder.sign(signer, content_type, io.BytesIO(picture), signed)
        return signed.getvalue()


def _new_chain() -> tuple[bytes, bytes]:
    """The leaf's key, and the certificates of leaf and root, all in PEM."""
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate(_ROOT_NAME, root_key.public_key(), None, root_key)
    leaf = _certificate(_LEAF_NAME, leaf_key.public_key(), root, root_key)
    pem = serialization.Encoding.PEM
    key = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, leaf.public_bytes(pem) + root.public_bytes(pem)


def _kept(chain_file: Path | None) -> tuple[bytes, bytes] | None:
    """The same from the file. Returns None where there is none, or where it is about to expire."""
    if chain_file is None or not chain_file.exists():
        return None
    key, begin, chain = chain_file.read_bytes().partition(_BEGIN)
    (leaf, _) = x509.load_pem_x509_certificates(begin + chain)
    if leaf.not_valid_after_utc < datetime.now(UTC) + timedelta(days=1):
        chain_file.unlink()
        return None
    return key, begin + chain


def _claim(model: str) -> dict[str, object]:
    created = {
        "action": "c2pa.created",
        "description": "Simulated: created by no generative AI.",
        "digitalSourceType": _MADE_BY_A_MODEL,
        "softwareAgent": {"name": model},
    }
    return {
        "claim_generator_info": [{"name": _ORGANISATION, "version": "1"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def _certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """A root where there is no issuer, else a leaf that may sign claims."""
    now, is_root = datetime.now(UTC), issuer is None
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(_usage(is_root=is_root), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if not is_root:
        purposes = [ExtendedKeyUsageOID.EMAIL_PROTECTION, _CLAIM_SIGNING]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_root,
        crl_sign=is_root,
        encipher_only=False,
        decipher_only=False,
    )


def broken(picture: bytes) -> bytes:
    """A signed PNG with one byte of its comment changed since: it shows the same, and is not as signed."""
    offset = _SIGNATURE_BYTES
    while picture[offset + 4 : offset + 8] != _TEXT:
        offset += 12 + struct.unpack(">I", picture[offset : offset + 4])[0]
    end = offset + 8 + struct.unpack(">I", picture[offset : offset + 4])[0]
    changed = bytearray(picture)
    changed[end - 1] ^= 1
    # the chunk itself stays in order
    changed[end : end + 4] = struct.pack(">I", zlib.crc32(changed[offset + 4 : end]))
    return bytes(changed)
