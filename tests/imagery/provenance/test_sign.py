"""What we sign says what it is, to our reader and to the library's own, in every delivered format."""

from __future__ import annotations

import io
import json
from typing import Any

import c2pa
import pytest
from PIL import Image

from imagery.provenance import manifest
from imagery.provenance.credentials import Credentials, CredentialsState, unreadable
from imagery.provenance.local_authority import LocalSigner
from imagery.provenance.manifest import Role, Source
from imagery.provenance.reader import read
from imagery.provenance.sign import PictureSigner, SigningError
from imagery.provenance.signer import SignerUnavailableError
from imagery.provenance.trust import reading_context
from testbed.credentials import TYPES, camera_photo, model_answer, one_byte_changed
from testbed.pictures import encoded
from tests.imagery.provenance.conftest import source, statement

NONE, TRUSTED, VALID, BROKEN = CredentialsState


def by_library(data: bytes, content_type: str, anchors: str) -> dict[str, Any]:
    """The manifest store as the library's own reader gives it."""
    with c2pa.Reader(content_type, io.BytesIO(data), context=reading_context(anchors)) as reader:
        store: dict[str, Any] = json.loads(reader.json())
    return store


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.tobytes()


@pytest.mark.parametrize("kind", TYPES)
def test_each_delivered_format_is_signed_and_its_pixels_stay(kind: str, ours: LocalSigner) -> None:
    picture, clean = encoded(kind, size=(160, 120)), encoded("PNG")
    said = statement(
        source(Role.ANSWER, encoded("PNG", size=(96, 96)), "image/png"),
        source(Role.CLEAN_PHOTO, clean, "image/png"),
    )
    signed = PictureSigner(ours).sign(picture, TYPES[kind], said)

    store = by_library(signed.data, TYPES[kind], ours.anchors_pem)
    top = store["manifests"][store["active_manifest"]]
    assert store["validation_state"] == "Trusted"
    assert top["signature_info"]["common_name"] == "Our TEST signer"
    assert [each["relationship"] for each in top["ingredients"]] == ["parentOf", "componentOf"]
    said_of = {each["label"]: each["data"] for each in top["assertions"]}
    actions = {each["action"]: each for each in said_of["c2pa.actions.v2"]["actions"]}
    assert list(actions) == ["c2pa.opened", "c2pa.edited", "c2pa.resized", "c2pa.placed"]
    assert actions["c2pa.placed"]["digitalSourceType"] == manifest.COMPOSITE
    assert actions["c2pa.placed"]["softwareAgent"]["version"] == "models/gemini-3.1-flash-image-001"
    assert actions["c2pa.resized"]["digitalSourceType"] == manifest.ENHANCED
    job = said_of[manifest.JOB_ASSERTION]
    assert job["prompt_sha256"] == manifest.prompt_hash("on a marble counter")
    assert job["sources"][1] == {
        "role": "clean_photo",
        "sha256": said.sources[1].sha256,
        "credentials": "none",
    }
    with Image.open(io.BytesIO(signed.data)) as image:
        assert manifest.COMPOSITE in str(image.info["xmp"])
    assert pixels(signed.data) == pixels(picture)

    credentials = signed.credentials
    assert (credentials.state, credentials.reasons) == (TRUSTED, ())
    assert credentials.manifest is not None
    assert credentials.manifest.claim_generator is not None
    assert credentials.manifest.claim_generator.startswith("Imagery ")
    assert credentials.says_ai
    assert [each.state for each in credentials.ingredients] == [NONE, NONE]


@pytest.mark.parametrize("kind", TYPES)
def test_one_byte_changed_is_broken_and_without_our_root_it_is_valid(kind: str, ours: LocalSigner) -> None:
    signed = PictureSigner(ours).sign(encoded(kind, size=(160, 120)), TYPES[kind], statement()).data
    # a byte of the pixels
    marks = {"PNG": b"IDAT", "JPEG": b"\xff\xda\0\x0c\x03", "WEBP": b"VP8 ", "AVIF": b"mdat"}
    at = signed.index(marks[kind]) + 40
    changed = read(one_byte_changed(signed, at), reading_context(ours.anchors_pem))
    untrusted = read(signed, reading_context(""))
    assert changed.state is BROKEN
    assert any(reason.endswith("Hash.mismatch") for reason in changed.reasons), changed.reasons
    assert (untrusted.state, untrusted.reasons) == (VALID, ("signingCredential.untrusted",))


def test_a_generated_scene_is_no_composite(ours: LocalSigner) -> None:
    picture = PictureSigner(ours).sign(encoded(), "image/png", statement(is_pixel_true=False))
    top = picture.credentials.manifest
    assert top is not None
    assert manifest.GENERATED in top.digital_source_types
    assert manifest.COMPOSITE not in top.digital_source_types
    assert top.actions[0].action == "c2pa.created"


def chain(ours: LocalSigner, makers: LocalSigner, photo: bytes) -> tuple[bytes, Credentials]:
    """A signed photo in, the provider's signed answer to it, our signed picture out."""
    anchors = ours.anchors_pem + makers.anchors_pem
    answer = model_answer(makers, ("inputTo", "image/jpeg", photo))
    said = statement(
        source(Role.ANSWER, answer, "image/png", anchors), source(Role.PHOTO, photo, "image/jpeg", anchors)
    )
    signed = PictureSigner(ours, makers.anchors_pem).sign(answer, "image/png", said)
    return signed.data, signed.credentials


def test_photo_answer_and_picture_are_one_chain_in_one_store(ours: LocalSigner, makers: LocalSigner) -> None:
    data, credentials = chain(ours, makers, camera_photo(makers))
    assert (credentials.state, credentials.reasons) == (TRUSTED, ())
    tree = [(each.depth, each.relationship, each.state) for each in credentials.ingredients]
    assert tree == [(1, "parentOf", TRUSTED), (2, "inputTo", TRUSTED), (1, "componentOf", TRUSTED)]
    signers = [each.manifest.claim_generator for each in credentials.ingredients if each.manifest]
    assert signers == ["Model 1.0", "Camera 1.0", "Camera 1.0"]
    store = by_library(data, "image/png", ours.anchors_pem + makers.anchors_pem)
    assert len(store["manifests"]) == 3
    assert store["validation_state"] == "Trusted"
    # whom a reader does not trust makes the whole chain less
    assert read(data, reading_context(ours.anchors_pem)).state is VALID


def test_a_broken_photo_is_kept_and_said_to_be_broken_everywhere(
    ours: LocalSigner, makers: LocalSigner
) -> None:
    data, credentials = chain(ours, makers, one_byte_changed(camera_photo(makers)))
    # the library alone would call it trusted: our signature is
    assert (
        by_library(data, "image/png", ours.anchors_pem + makers.anchors_pem)["validation_state"] == "Trusted"
    )
    assert credentials.state is BROKEN
    assert "assertion.dataHash.mismatch" in credentials.reasons
    assert credentials.manifest is not None
    assert credentials.manifest.state is TRUSTED
    # the answer was signed over the broken photo, so it is broken too; its own manifest is not
    assert [each.state for each in credentials.ingredients] == [BROKEN, BROKEN, BROKEN]
    answer, photo, _ = credentials.ingredients
    assert answer.manifest is not None
    assert answer.manifest.state is TRUSTED
    assert photo.reasons == ("assertion.dataHash.mismatch",)


def test_a_broken_answer_does_not_become_trusted_by_our_signature(
    ours: LocalSigner, makers: LocalSigner
) -> None:
    answer = model_answer(makers)
    broken = one_byte_changed(answer, answer.rfind(b"IDAT") + 40)
    anchors = makers.anchors_pem
    signed = PictureSigner(ours, anchors).sign(
        encoded(), "image/png", statement(source(Role.ANSWER, broken, "image/png", anchors))
    )
    assert signed.credentials.state is BROKEN
    assert signed.credentials.ingredients[0].state is BROKEN


def test_a_source_that_brought_its_reader_down_is_not_read_again(ours: LocalSigner) -> None:
    broken = Source(Role.PHOTO, b"not to be parsed", "image/jpeg", unreadable("decoder_crashed"))
    signed = PictureSigner(ours).sign(encoded(), "image/png", statement(broken))
    assert signed.credentials.state is BROKEN
    assert signed.credentials.ingredients[0].reasons == ("general.error",)


def test_a_picture_from_the_cache_is_signed_again_for_its_job(ours: LocalSigner) -> None:
    signer = PictureSigner(ours)
    first = signer.sign(encoded(), "image/png", statement())
    again = signer.sign(first.data, "image/png", statement())
    assert again.credentials.state is TRUSTED
    assert again.data.count(b"XML:com.adobe.xmp") == 1
    assert len(by_library(again.data, "image/png", "")["manifests"]) == 1


def test_a_signer_that_does_not_respond_is_named_and_may_be_tried_again(ours: LocalSigner) -> None:
    class Away(LocalSigner):
        def sign_digest(self, digest: bytes) -> bytes:
            raise SignerUnavailableError("Key Vault did not respond: ReadTimeout.")

    away = Away(ours.key, ours.chain_pem, ours.anchors_pem)
    with pytest.raises(SigningError, match="did not respond") as raised:
        PictureSigner(away).sign(encoded(), "image/png", statement())
    assert (raised.value.code, raised.value.retryable) == ("signing_unavailable", True)


def test_a_damaged_picture_is_not_signed(ours: LocalSigner) -> None:
    for kind, content_type in TYPES.items():
        with pytest.raises(SigningError):
            PictureSigner(ours).sign(encoded(kind)[:60], content_type, statement())
    with pytest.raises(SigningError, match="not known"):
        PictureSigner(ours).sign(encoded("TIFF"), "image/tiff", statement())


def test_no_name_and_no_prompt_is_in_what_we_sign(ours: LocalSigner) -> None:
    signed = PictureSigner(ours).sign(encoded(), "image/png", statement()).data
    assert b"marble" not in signed
    assert b"0c9b7a1e" in signed
