"""Of a photo that is not kept its statement is: it does in the chain what the file itself would do."""

from __future__ import annotations

import io
import json

import c2pa
import pytest

from imagery.guardrail.pictures import CONTENT_TYPES
from imagery.guardrail.sniff import sniff
from imagery.provenance.credentials import Credentials, CredentialsState
from imagery.provenance.kept import KeptStatement, kept_statement
from imagery.provenance.local_authority import LocalSigner
from imagery.provenance.manifest import JOB_ASSERTION, Role, Source
from imagery.provenance.sign import PictureSigner, SignedPicture
from imagery.provenance.trust import reading_context
from testbed.credentials import TYPES, camera_photo, model_answer, one_byte_changed
from testbed.hostile_manifests import damaged_manifests
from testbed.pictures import encoded
from tests.imagery.provenance.conftest import source, statement


def through_a_blob(data: bytes, content_type: str, anchors: str) -> Source | None:
    kept = kept_statement(data, content_type, reading_context(anchors))
    return KeptStatement.model_validate_json(kept.model_dump_json()).source if kept is not None else None


def tree(found: Credentials) -> list[tuple[object, ...]]:
    return [
        (each.depth, each.title, each.relationship, each.state, each.reasons) for each in found.ingredients
    ]


@pytest.mark.parametrize("is_broken", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_what_was_kept_says_the_same_as_the_file(
    kind: str, is_broken: bool, ours: LocalSigner, makers: LocalSigner
) -> None:
    photo = camera_photo(makers, kind)
    if is_broken:
        photo = one_byte_changed(photo, photo.rindex(b"c2pa.hash"))
    anchors = makers.anchors_pem
    kept, file = through_a_blob(photo, TYPES[kind], anchors), source(Role.PHOTO, photo, TYPES[kind], anchors)
    assert kept is not None
    assert kept.sha256 == file.sha256
    signer, answer = PictureSigner(ours, anchors), source(Role.ANSWER, encoded("PNG"), "image/png", anchors)
    pictures: list[SignedPicture] = [
        signer.sign(encoded(), "image/png", statement(answer, photo)) for photo in (kept, file)
    ]
    expected = CredentialsState.BROKEN if is_broken else CredentialsState.TRUSTED
    assert [each.credentials.state for each in pictures] == [expected] * 2
    assert tree(pictures[0].credentials) == tree(pictures[1].credentials)
    with c2pa.Reader("image/png", io.BytesIO(pictures[0].data)) as reader:
        store = json.loads(reader.json())
    top = store["manifests"][store["active_manifest"]]
    (told,) = [each["data"] for each in top["assertions"] if each["label"] == JOB_ASSERTION]
    assert told["sources"][1]["sha256"] == file.sha256


def test_no_pixel_of_the_photo_is_kept_and_of_an_unsigned_one_nothing(makers: LocalSigner) -> None:
    photo, context = camera_photo(makers), reading_context("")
    kept = kept_statement(photo, "image/jpeg", context)
    assert kept is not None
    pixels = photo[photo.rindex(b"\xff\xda") + 14 :]
    assert len(pixels) > 500
    windows = [pixels[at : at + 16] for at in range(0, len(pixels) - 16, 16)]
    assert not any(window in kept.archive for window in windows)
    for kind in TYPES:
        assert kept_statement(encoded(kind), TYPES[kind], context) is None


@pytest.mark.slow
def test_no_manifest_of_a_photo_keeps_a_picture_from_being_signed_or_becomes_better(
    ours: LocalSigner, makers: LocalSigner
) -> None:
    signer, answer = PictureSigner(ours), source(Role.ANSWER, model_answer(makers), "image/png")
    seen = 0
    for each in damaged_manifests(makers):
        content_type = CONTENT_TYPES.get(sniff(each.data) or "", "application/octet-stream")
        kept = through_a_blob(each.data, content_type, "")
        if kept is None:
            continue
        file = source(Role.PHOTO, each.data, content_type)
        states = {
            signer.sign(encoded(), "image/png", statement(answer, photo)).credentials.state
            for photo in (kept, file)
        }
        assert states == {file.credentials.state}, each.name
        seen += 1
    assert seen > 60
