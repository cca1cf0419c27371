"""Asks for a certificate of a key in Key Vault: ``python -m infra.csr KEY_URL PUBLIC_PEM --subject NAME``.

Prints a certificate signing request. The key stays in the vault: it signs there, as whoever is signed in with
``az login``, who needs the role Key Vault Crypto User.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from imagery.identity import make_credential
from imagery.provenance.key_vault import Vault, vault_tokens
from imagery.provenance.signer import RAW_BYTES, SignerError
from imagery.settings import get_settings


class VaultKey(ec.EllipticCurvePrivateKey):
    """A key of the vault where ``cryptography`` wants a private one. It signs, and gives nothing away."""

    def __init__(self, vault: Vault, url: str, public: ec.EllipticCurvePublicKey) -> None:
        self._vault, self._url, self._public = vault, url, public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """An ES256 signature as DER. Raises ``SignerError``."""
        digest = hashes.Hash(hashes.SHA256())
        digest.update(data)
        raw = self._vault.sign(self._url, digest.finalize())
        half = RAW_BYTES // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def exchange(self, *_: Any) -> NoReturn:
        self._stays()

    def private_numbers(self) -> NoReturn:
        self._stays()

    def private_bytes(self, *_: Any) -> NoReturn:
        self._stays()

    def __copy__(self) -> VaultKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> VaultKey:
        return self

    def _stays(self) -> NoReturn:
        raise NotImplementedError("The key does not leave Key Vault.")


def request(key: VaultKey, subject: str) -> str:
    """A signing request as PEM. Raises ``SignerError``; ``ValueError`` if ``subject`` or the key is wrong."""
    csr = x509.CertificateSigningRequestBuilder(x509.Name.from_rfc4514_string(subject)).sign(
        key, hashes.SHA256()
    )
    if not csr.is_signature_valid:
        raise ValueError("The public key is not that of the key in Key Vault: download the same version.")
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m infra.csr", description=__doc__)
    parser.add_argument("key_url", help="https://VAULT.vault.azure.net/keys/NAME/VERSION")
    parser.add_argument("public_pem", type=Path, help="its public key: az keyvault key download")
    parser.add_argument("--subject", required=True, help="such as 'CN=Example Studio,O=Example Studio,C=DE'")
    given = parser.parse_args()
    try:
        public = serialization.load_pem_public_key(given.public_pem.read_bytes())
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise ValueError(f"{given.public_pem} holds no key on an elliptic curve.")
        vault = Vault(vault_tokens(make_credential(get_settings())))
        print(request(VaultKey(vault, given.key_url, public), given.subject), end="")
    except (OSError, ValueError, SignerError) as error:
        sys.exit(f"No request was made. {error}")


if __name__ == "__main__":
    main()
