"""The choice of a signer, and of whom to trust, by the settings."""

from __future__ import annotations

import threading
from pathlib import Path

from imagery.identity import make_credential
from imagery.provenance import key_vault
from imagery.provenance.local_authority import local_signer
from imagery.provenance.signer import Signer, SignerMisconfiguredError
from imagery.settings import Environment, Settings

_FOLDER = "test-authority"
_making = threading.Lock()


def make_signer(settings: Settings) -> Signer:
    """The key that the settings name. Raises ``SignerError``.

    Without one an authority for tests signs on a developer's machine, and nobody in PROD.
    """
    words = settings.provenance.credentials
    if words.key is None:
        if settings.env is Environment.DEV:
            with _making:
                return local_signer(local_folder(settings))
        raise SignerMisconfiguredError("CONTENT_CREDENTIALS names no key: pictures can't be signed.")
    if words.certificate is None:
        raise SignerMisconfiguredError("CONTENT_CREDENTIALS names a key, and no certificate of it.")
    vault = key_vault.Vault(key_vault.vault_tokens(make_credential(settings)))
    return key_vault.KeyVaultSigner(words.key, key_vault.chain_loader(words.certificate, vault), vault)


def trust_anchors(settings: Settings) -> str:
    """Certificates of the CAs that are trusted, as PEM; of the authority for tests where that signs.

    Raises ``SignerError``.
    """
    words = settings.provenance.credentials
    anchors = key_vault.file_text(words.trust) if words.trust else ""
    if words.key is None and settings.env is Environment.DEV:
        anchors += make_signer(settings).anchors_pem
    return anchors


def local_folder(settings: Settings) -> Path:
    """Where the authority for tests lies."""
    return settings.storage.local_path / _FOLDER
