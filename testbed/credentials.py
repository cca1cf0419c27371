"""Pictures with Content Credentials of others: a camera's, an image model's."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import c2pa

from imagery.provenance.local_authority import LocalSigner, issue
from imagery.provenance.trust import signing_context
from testbed.pictures import encoded

NEWSCODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "AVIF": "image/avif"}
Part = tuple[str, str, bytes]


def camera() -> LocalSigner:
    """A signer like that of a camera."""
    return issue("Camera Maker CA", "Camera 1234")


def signed(
    signer: LocalSigner, data: bytes, content_type: str, manifest: dict[str, Any], *parts: Part
) -> bytes:
    """``data`` with ``manifest``, signed; ``parts``: relationship, type and bytes of each ingredient.

    The signer trusts itself, as those do that are on a public list.
    """

    def sign(message: bytes) -> bytes:
        return signer.sign_digest(hashlib.sha256(message).digest())

    out = io.BytesIO()
    alg = c2pa.C2paSigningAlg.ES256
    with (
        c2pa.Signer.from_callback(sign, alg, signer.chain_pem) as native,
        c2pa.Builder(json.dumps(manifest), context=signing_context(signer.anchors_pem, None)) as builder,
    ):
        for number, (relationship, kind, part) in enumerate(parts):
            entry = {"title": f"part {number}", "relationship": relationship, "label": f"part{number}"}
            builder.add_ingredient(json.dumps(entry), kind, io.BytesIO(part))
        builder.sign(native, content_type, io.BytesIO(data), out)
    return out.getvalue()


def manifest_of(program: str, source_type: str, **more: Any) -> dict[str, Any]:
    """The manifest of a picture that ``program`` made."""
    action = {"action": "c2pa.created", "digitalSourceType": NEWSCODES + source_type}
    assertion = {"label": "c2pa.actions.v2", "data": {"actions": [action]}}
    return {
        "claim_generator_info": [{"name": program, "version": "1.0"}],
        "title": "picture",
        "assertions": [assertion],
        **more,
    }


def camera_photo(signer: LocalSigner, kind: str = "JPEG") -> bytes:
    """A photo as a camera signs it."""
    photo = encoded(kind, size=(160, 120))
    return signed(signer, photo, TYPES[kind], manifest_of("Camera", "digitalCapture"))


def model_answer(signer: LocalSigner, *parts: Part) -> bytes:
    """A PNG as an image model signs it."""
    picture = encoded("PNG", size=(128, 96))
    return signed(signer, picture, "image/png", manifest_of("Model", "trainedAlgorithmicMedia"), *parts)


def one_byte_changed(data: bytes, at: int = -100) -> bytes:
    """``data`` with another byte: in a picture of ours or the camera's, a byte of its pixels."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)
