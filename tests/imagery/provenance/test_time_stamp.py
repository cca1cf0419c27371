"""Time stamps of RFC 3161, by OpenSSL's own authority; and what happens when there is none."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from imagery.provenance import local_authority
from imagery.provenance.credentials import CredentialsState
from imagery.provenance.local_authority import LocalSigner
from imagery.provenance.sign import PictureSigner, SigningError
from testbed.pictures import encoded
from tests.imagery.provenance.conftest import statement

_CONFIGURATION = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/clock.pem
signer_key = {folder}/clock.key
certs = {folder}/root.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


def _authority(folder: Path) -> str:
    """An authority and the certificate of its clock. Returns that of the authority as PEM."""
    now, name = datetime.now(UTC), local_authority._name("Clock CA", "Clocks")
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = (
        local_authority._builder(name, name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(local_authority._usage(is_authority=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    clock = (
        local_authority._builder(local_authority._name("Clock", "Clocks"), name, key.public_key(), now)
        .add_extension(local_authority._usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    root_pem = root.public_bytes(Encoding.PEM)
    (folder / "root.pem").write_bytes(root_pem)
    (folder / "clock.pem").write_bytes(clock.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "clock.key").write_bytes(private)
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIGURATION.format(folder=folder))
    return root_pem.decode()


class Clock:
    """An authority behind HTTP. ``is_away``: it responds with an error."""

    def __init__(self, folder: Path) -> None:
        self.certificate = _authority(folder)
        self.is_away = False
        clock = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                if clock.is_away:
                    self.send_error(503)
                    return
                (folder / "query").write_bytes(query)
                subprocess.run(
                    ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"],
                    cwd=folder,
                    check=True,
                    capture_output=True,
                    timeout=20,
                )
                reply = (folder / "reply").read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    made = Clock(tmp_path)
    yield made
    made.stop()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL's command is the authority")
def test_a_signature_carries_the_time_of_an_authority_that_is_trusted(
    clock: Clock, ours: LocalSigner
) -> None:
    signer = PictureSigner(ours, clock.certificate, clock.url)
    found = signer.sign(encoded(), "image/png", statement()).credentials
    assert found.state is CredentialsState.TRUSTED
    assert found.manifest is not None
    assert found.manifest.signed_at is not None
    taken = datetime.fromisoformat(found.manifest.signed_at)
    assert abs(datetime.now(UTC) - taken) < timedelta(minutes=5)
    # anybody's clock may say anything
    unknown = PictureSigner(ours, "", clock.url).sign(encoded(), "image/png", statement()).credentials
    assert unknown.state is CredentialsState.TRUSTED
    assert unknown.manifest is not None
    assert unknown.manifest.signed_at is None


def test_without_its_time_stamp_a_picture_is_not_signed_and_may_be_tried_again(
    clock: Clock, ours: LocalSigner
) -> None:
    clock.is_away = True
    with pytest.raises(SigningError, match="time stamp authority") as raised:
        PictureSigner(ours, "", clock.url).sign(encoded(), "image/png", statement())
    assert (raised.value.code, raised.value.retryable) == ("timestamp_unavailable", True)
