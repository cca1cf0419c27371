"""Signs what we deliver: XMP first, then the manifest, then our own reader's word on the result."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

import c2pa

from imagery.provenance import xmp
from imagery.provenance.credentials import Credentials, CredentialsState
from imagery.provenance.manifest import Source, Statement, definition, ingredient, is_carried, without_broken
from imagery.provenance.reader import read
from imagery.provenance.signer import TIMESTAMP_UNAVAILABLE, Signer, SignerError
from imagery.provenance.signers import make_signer, trust_anchors
from imagery.provenance.trust import reading_context, signing_context
from imagery.settings import CredentialsMode, Settings

_NO_TIME_STAMP = (
    "The time stamp authority of CONTENT_CREDENTIALS did not respond, or with no time stamp, within 30 s."
)


class SigningError(Exception):
    """The picture could not be signed. ``retryable``: a later attempt may succeed. ``code`` is stable."""

    def __init__(self, message: str, code: str = "signing_failed", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class _ManifestError(SigningError):
    """The library does not take what the manifest is to hold."""


@dataclass(frozen=True)
class SignedPicture:
    """A file with Content Credentials, and what a reader says of it.

    ``credentials.state`` is that of the whole chain: ``broken`` where an ingredient came in broken, though
    our own signature, ``credentials.manifest.state``, is good.
    """

    data: bytes
    credentials: Credentials


class PictureSigner:
    """Signs pictures with one signer; threads may share it."""

    def __init__(self, signer: Signer, anchors_pem: str = "", timestamp_url: str | None = None) -> None:
        """``anchors_pem``: CAs that are trusted beside the signer's own root."""
        self._signer = signer
        self._timestamp_url = timestamp_url
        anchors = anchors_pem + signer.anchors_pem
        host = urlsplit(timestamp_url).hostname if timestamp_url else None
        self._writing = signing_context(anchors, host)
        self._reading = reading_context(anchors)

    def sign(self, data: bytes, content_type: str, statement: Statement) -> SignedPicture:
        """``data``, a PNG, JPEG, WebP or AVIF of ours, with XMP and Content Credentials.

        Raises ``SigningError``. A manifest that ``data`` has already is replaced: name it as a source.
        """
        try:
            marked = xmp.with_source_type(data, content_type, statement.source_type)
        except xmp.XmpError as error:
            raise SigningError(f"The picture can't be marked: {error}") from error
        signed = self._signed(marked, content_type, statement)
        credentials = read(signed, self._reading)
        if credentials.manifest is None or credentials.manifest.state is CredentialsState.BROKEN:
            reasons = ", ".join(credentials.reasons)
            raise SigningError(f"The signed picture does not verify: {reasons}.")
        return SignedPicture(signed, credentials)

    def _signed(self, data: bytes, content_type: str, statement: Statement) -> bytes:
        try:
            return self._made(data, content_type, statement)
        except _ManifestError:
            # no photo that somebody sends may keep a paid picture from being signed
            without = without_broken(statement)
            if without is statement:
                raise
            return self._made(data, content_type, without)

    def _made(self, data: bytes, content_type: str, statement: Statement) -> bytes:
        key = _Key(self._signer)
        out = io.BytesIO()
        try:
            with (
                c2pa.Signer.from_callback(
                    key.sign, c2pa.C2paSigningAlg.ES256, self._signer.chain_pem, self._timestamp_url
                ) as native,
                c2pa.Builder(json.dumps(definition(statement)), context=self._writing) as builder,
            ):
                for source in filter(is_carried, statement.sources):
                    _add(builder, source, json.dumps(ingredient(statement, source)))
                builder.sign(native, content_type, io.BytesIO(data), out)
        except (c2pa.C2paError, SignerError) as error:
            cause = key.error or error
            if isinstance(cause, SignerError):
                raise SigningError(str(cause), cause.code, retryable=cause.retryable) from cause
            if self._timestamp_url and isinstance(error, c2pa.C2paError.Signature):
                raise SigningError(_NO_TIME_STAMP, TIMESTAMP_UNAVAILABLE, retryable=True) from error
            # the message of the library may repeat what is in an untrusted manifest
            raise _ManifestError(f"The manifest could not be made: {type(error).__name__}.") from error
        return out.getvalue()


def _add(builder: c2pa.Builder, source: Source, entry: str) -> None:
    if source.file_sha256 is not None:
        # the entry was put in while the file was there
        builder.add_ingredient_from_archive(io.BytesIO(source.data))
    else:
        builder.add_ingredient(entry, source.content_type, io.BytesIO(source.data))


class _Key:
    """A signer as the library calls it; what it raised is kept, because the library swallows it."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.error: Exception | None = None

    def sign(self, data: bytes) -> bytes:
        try:
            return self._signer.sign_digest(hashlib.sha256(data).digest())
        except SignerError as error:
            self.error = error
            raise


def make_picture_signer(settings: Settings) -> PictureSigner | None:
    """The signer that the settings ask for; None where pictures are not signed. Raises ``SigningError``."""
    words = settings.provenance.credentials
    if words.mode is CredentialsMode.OFF:
        return None
    try:
        return PictureSigner(make_signer(settings), trust_anchors(settings), words.timestamp)
    except SignerError as error:
        raise SigningError(str(error), error.code, retryable=error.retryable) from error


class PictureSigners:
    """The signer of this process, made when it is first asked for, so that no start fails because of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: PictureSigner | None = None

    def get(self) -> PictureSigner | None:
        """None where pictures are not signed. Raises ``SigningError``; the next call tries again."""
        with self._lock:
            if self._made is None:
                self._made = make_picture_signer(self._settings)
            return self._made
