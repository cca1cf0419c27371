"""The simulator's pictures carry Content Credentials, which only its own root makes trusted."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography import x509
from PIL import Image

from local import nano_banana_signing
from local.nano_banana_signing import PictureSigner
from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.pictures import encoded
from testbed.servers import Server
from tests.local.test_nano_banana_orders import NEWEST, body, call


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(Simulator(SimulatorOptions(latency_s=0.0)).app())
    yield running
    running.stop()


def delivered(server: Server, *faults: str) -> bytes:
    server.client.delete("/_simulator/faults")
    server.client.post("/_simulator/faults", json={"next": list(faults)})
    parts = call(server, body()).json()["candidates"][0]["content"]["parts"]
    return base64.b64decode(parts[-1]["inlineData"]["data"])


def checked(picture: bytes, root_pem: str, content_type: str = "image/png") -> dict[str, Any]:
    """The report of the C2PA library for somebody who trusts that root."""
    trust = {"trust": {"user_anchors": root_pem}, "verify": {"verify_trust": True}}
    with (
        c2pa.Context.from_dict(trust) as context,
        c2pa.Reader(content_type, io.BytesIO(picture), context=context) as reader,
    ):
        report: dict[str, Any] = json.loads(reader.json())
    return report


def root_of(server: Server) -> str:
    answer = server.client.get("/_simulator/trust")
    assert answer.status_code == 200
    return answer.text


def test_a_picture_is_signed_by_who_says_that_it_is_a_test(server: Server) -> None:
    report = checked(delivered(server), root_of(server))
    assert report["validation_state"] == "Trusted"
    manifest = report["manifests"][report["active_manifest"]]
    assert "not Google" in manifest["signature_info"]["common_name"]
    (actions,) = [each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions")]
    (action,) = actions["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert action["softwareAgent"]["name"] == NEWEST
    root = x509.load_pem_x509_certificate(root_of(server).encode())
    assert "not Google" in root.subject.rfc4514_string()


def test_another_root_does_not_trust_it(server: Server) -> None:
    report = checked(delivered(server), PictureSigner().root_pem)
    assert report["validation_state"] == "Valid"
    assert "signingCredential.untrusted" in json.dumps(report)


def test_a_jpeg_is_signed_too(server: Server) -> None:
    picture = delivered(server, "jpeg")
    assert Image.open(io.BytesIO(picture)).format == "JPEG"
    assert checked(picture, root_of(server), "image/jpeg")["validation_state"] == "Trusted"


def test_a_broken_signature_is_a_picture_that_was_changed(server: Server) -> None:
    picture = delivered(server, "broken_signature")
    Image.open(io.BytesIO(picture)).load()
    report = checked(picture, root_of(server))
    assert report["validation_state"] == "Invalid"
    assert "assertion.dataHash.mismatch" in json.dumps(report)


def test_pictures_can_be_unsigned_one_by_one_or_all(server: Server) -> None:
    without = Server(Simulator(SimulatorOptions(latency_s=0.0, unsigned=True)).app())
    try:
        pictures = [delivered(server, "unsigned"), delivered(without), delivered(without, "broken_signature")]
        assert without.client.get("/_simulator/trust").status_code == 404
    finally:
        without.stop()
    for picture in pictures:
        with pytest.raises(c2pa.C2paError, match="ManifestNotFound"):
            checked(picture, root_of(server))


def test_many_threads_sign_beside_each_other() -> None:
    signer, picture = PictureSigner(), encoded("PNG")
    with ThreadPoolExecutor(8) as pool:
        signed = list(pool.map(lambda _: signer.sign(picture, "image/png", NEWEST), range(40)))
    for each in signed:
        assert checked(each, signer.root_pem)["validation_state"] == "Trusted"


def test_after_a_restart_the_same_root_is_trusted(tmp_path: Path) -> None:
    file = tmp_path / "run" / "chain.pem"
    before, after = PictureSigner(file), PictureSigner(file)
    assert file.stat().st_mode & 0o077 == 0
    picture = after.sign(encoded("PNG"), "image/png", NEWEST)
    assert checked(picture, before.root_pem)["validation_state"] == "Trusted"


def test_an_expired_chain_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "chain.pem"
    with monkeypatch.context() as short:
        short.setattr(nano_banana_signing, "_DAYS", 0.5)
        old = PictureSigner(file)
    new = PictureSigner(file)
    assert new.root_pem != old.root_pem
    assert PictureSigner(file).root_pem == new.root_pem
