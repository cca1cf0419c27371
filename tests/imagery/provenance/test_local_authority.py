"""The authority for tests: made once, by whichever process is first, and named as what it is."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from imagery.environment import read
from imagery.provenance import local_authority
from imagery.provenance.local_authority import local_signer
from imagery.provenance.sign import SigningError, make_picture_signer
from imagery.provenance.signer import fits
from imagery.provenance.signers import local_folder
from imagery.settings import Settings
from testbed.pictures import encoded
from tests.imagery.provenance.conftest import statement


def test_processes_that_start_together_share_one_authority(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "authority"
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(local_signer, [folder] * 8))
    assert len({signer.chain_pem for signer in signers}) == 1
    assert [each.name for each in folder.parent.iterdir()] == ["authority"]
    digest = hashlib.sha256(b"x").digest()
    assert fits(local_signer(folder).chain_pem, digest, signers[0].sign_digest(digest))


def test_it_says_that_it_is_for_tests_and_its_key_is_for_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    chain = x509.load_pem_x509_certificates(local_signer(folder).chain_pem.encode())
    assert all("TEST" in certificate.subject.rfc4514_string() for certificate in chain)
    assert stat.S_IMODE((folder / "signer.key").stat().st_mode) == 0o600


def test_one_that_ends_soon_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "authority"
    monkeypatch.setattr(local_authority, "_LIFETIME", timedelta(days=20))
    old = local_signer(folder)
    monkeypatch.undo()
    assert local_signer(folder).chain_pem != old.chain_pem
    assert local_signer(folder).chain_pem == local_signer(folder).chain_pem


def _settings(tmp_path: Path, words: str, env: str = "DEV") -> Settings:
    return read(Settings, {"ENV": env, "LOCAL_STORAGE_PATH": str(tmp_path), "CONTENT_CREDENTIALS": words})


def test_the_settings_choose_who_signs(tmp_path: Path) -> None:
    assert make_picture_signer(_settings(tmp_path, "mode=off", "PROD")) is None
    settings = _settings(tmp_path, "mode=require")
    signer = make_picture_signer(settings)
    assert signer is not None
    signed = signer.sign(encoded(), "image/png", statement())
    assert signed.credentials.manifest is not None
    assert signed.credentials.manifest.signer == "Imagery TEST signer"
    assert local_folder(settings).parent == tmp_path


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        ("mode=sign", "PROD", "names no key"),
        ("key=https://v.vault.azure.net/keys/k", "DEV", "no certificate"),
        ("key=https://v.vault.azure.net/k certificate=c.pem", "DEV", "key must be https"),
        ("trust=/nowhere/list.pem", "DEV", "can't be read"),
    ],
)
def test_settings_that_don_t_fit_are_named(tmp_path: Path, words: str, env: str, told: str) -> None:
    with pytest.raises(SigningError, match=told) as raised:
        make_picture_signer(_settings(tmp_path, words, env))
    assert not raised.value.retryable
