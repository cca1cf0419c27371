"""What a file says of itself, with limits; a lie of a signer makes nothing better."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from imagery.provenance import xmp
from imagery.provenance.credentials import (
    MAX_ACTIONS,
    MAX_DEPTH,
    MAX_INGREDIENTS,
    MAX_TEXT,
    Credentials,
    CredentialsState,
)
from imagery.provenance.local_authority import LocalSigner
from imagery.provenance.manifest import GENERATED
from imagery.provenance.reader import read, summary
from imagery.provenance.statuses import Statuses
from imagery.provenance.trust import reading_context
from testbed.credentials import camera_photo, manifest_of, model_answer, one_byte_changed, signed
from testbed.hostile_manifests import remote
from testbed.pictures import encoded

NONE, TRUSTED, VALID, BROKEN = CredentialsState
NOBODY = reading_context("")
TOP, BELOW = "urn:c2pa:top", "urn:c2pa:below"
TRUST, DOUBT = "signingCredential.trusted", "signingCredential.untrusted"


@pytest.mark.parametrize(
    "data",
    [b"", b"text", encoded("PNG"), encoded("JPEG"), encoded("WEBP"), encoded("AVIF"), encoded("PNG")[:50]],
)
def test_a_file_without_a_manifest_has_none(data: bytes) -> None:
    assert read(data, NOBODY) == Credentials(state=NONE)


def test_a_signer_that_nobody_knows_is_valid_and_named(makers: LocalSigner) -> None:
    found = read(camera_photo(makers), NOBODY)
    assert (found.state, found.says_ai) == (VALID, False)
    assert found.manifest is not None
    assert (found.manifest.signer, found.manifest.claim_generator) == ("Camera 1234", "Camera 1.0")
    assert found.manifest.digital_source_types[0].endswith("/digitalCapture")
    assert read(camera_photo(makers), reading_context(makers.anchors_pem)).state is TRUSTED


def test_a_picture_of_a_model_says_so_by_its_manifest_or_by_xmp(makers: LocalSigner) -> None:
    assert read(model_answer(makers), NOBODY).says_ai
    marked = read(xmp.with_source_type(encoded(), "image/png", GENERATED), NOBODY)
    assert (marked.state, marked.says_ai) == (NONE, True)


def test_a_damaged_manifest_is_broken_and_not_none(makers: LocalSigner) -> None:
    photo = bytearray(camera_photo(makers, "PNG"))
    at = photo.index(b"caBX")
    photo[at + 100 : at + 400] = b"\xff" * 300
    assert read(bytes(photo), NOBODY).state is BROKEN


def test_a_manifest_at_another_host_is_not_fetched(makers: LocalSigner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        found = read(remote(makers, url), NOBODY)
        with pytest.raises(TimeoutError):
            server.accept()
    assert (found.state, found.reasons) == (NONE, ("manifest.remote",))


def test_what_is_listed_has_limits(makers: LocalSigner) -> None:
    part = encoded(size=(8, 8))
    edited = {"action": "c2pa.edited", "softwareAgent": "x" * 900}
    actions = [{"action": "c2pa.created", "digitalSourceType": GENERATED}, *[edited] * 40]
    manifest = manifest_of("P" * 900, "digitalCapture")
    manifest["assertions"] = [{"label": "c2pa.actions.v2", "data": {"actions": actions}}]
    parts = [("componentOf", "image/png", part)] * (MAX_INGREDIENTS + 3)
    found = read(signed(makers, encoded(), "image/png", manifest, *parts), NOBODY)
    assert found.is_cut
    assert len(found.ingredients) == MAX_INGREDIENTS
    assert found.manifest is not None
    assert len(found.manifest.actions) == MAX_ACTIONS
    assert len(str(found.manifest.claim_generator)) == MAX_TEXT


def test_a_chain_that_is_deeper_than_is_looked_at_is_not_trusted(makers: LocalSigner) -> None:
    picture = camera_photo(makers, "PNG")
    for _ in range(MAX_DEPTH + 1):
        picture = model_answer(makers, ("inputTo", "image/png", picture))
    found = read(picture, reading_context(makers.anchors_pem))
    assert (found.state, found.is_cut) == (VALID, True)
    assert max(each.depth for each in found.ingredients) == MAX_DEPTH


def test_what_is_broken_below_the_depth_that_is_looked_at_counts_too(makers: LocalSigner) -> None:
    picture = one_byte_changed(camera_photo(makers))
    kind = "image/jpeg"
    for _ in range(MAX_DEPTH + 2):
        picture, kind = model_answer(makers, ("inputTo", kind, picture)), "image/png"
    found = read(picture, reading_context(makers.anchors_pem))
    assert (found.state, found.is_cut) == (BROKEN, True)
    assert "assertion.dataHash.mismatch" in found.reasons


def status(code: str, label: str = BELOW) -> dict[str, str]:
    return {"code": code, "url": f"self#jumbf=/c2pa/{label}/c2pa.signature"}


def store(recorded: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """A store with one ingredient, as the library would give it."""
    ingredient = {
        "label": "c2pa.ingredient.v3",
        "active_manifest": BELOW,
        "validation_results": {"activeManifest": recorded},
    }
    uri = f"self#jumbf=/c2pa/{TOP}/c2pa.assertions/c2pa.ingredient.v3"
    return {
        "active_manifest": TOP,
        "manifests": {TOP: {"ingredients": [ingredient]}, BELOW: {}},
        "validation_results": {
            "activeManifest": {"success": [status(TRUST, TOP)]},
            "ingredientDeltas": [{"ingredientAssertionURI": uri, "validationDeltas": current}],
        },
    }


@pytest.mark.parametrize(
    ("recorded", "current", "state"),
    [
        ({"success": [status(TRUST)]}, {}, TRUSTED),
        ({"failure": [status(DOUBT)]}, {"success": [status(TRUST)]}, TRUSTED),
        ({"success": [status(TRUST)]}, {"failure": [status(DOUBT)]}, VALID),
        ({}, {}, VALID),
        ({}, {"success": [status(TRUST)], "failure": [status(DOUBT)]}, VALID),
        # both recorded: the reader adds nothing, whatever it finds
        ({"success": [status(TRUST)], "failure": [status(DOUBT)]}, {}, VALID),
        ({"success": [status(TRUST), status(DOUBT)]}, {}, VALID),
        ({"failure": [status("claimSignature.mismatch")]}, {"success": [status(TRUST)]}, BROKEN),
        # a failure that is recorded as none
        ({"success": [status("claimSignature.mismatch"), status(TRUST)]}, {}, BROKEN),
        ({"informational": [status("assertion.dataHash.mismatch"), status(TRUST)]}, {}, BROKEN),
        ({"informational": [status("timeStamp.mismatch")], "success": [status(TRUST)]}, {}, TRUSTED),
        ({"success": [status(TRUST)]}, {"failure": [status("ingredient.manifest.mismatch")]}, BROKEN),
    ],
)
def test_what_a_signer_recorded_makes_nothing_better(
    recorded: dict[str, Any], current: dict[str, Any], state: CredentialsState
) -> None:
    found = store(recorded, current)
    statuses = Statuses(found)
    (ingredient,) = found["manifests"][TOP]["ingredients"]
    assert statuses.of_ingredient(TOP, ingredient)[0] is state
    assert statuses.of_active(TOP)[0] is TRUSTED
    assert bool(statuses.breaks()) == (state is BROKEN)


def test_a_time_counts_unless_somebody_doubts_its_clock() -> None:
    trusted, doubted = status("timeStamp.trusted"), status("timeStamp.untrusted")
    assert Statuses(store({"success": [trusted]}, {})).is_time_trusted(BELOW)
    assert not Statuses(store({"success": [trusted]}, {"informational": [doubted]})).is_time_trusted(BELOW)
    assert not Statuses(store({}, {})).is_time_trusted(BELOW)


def test_statuses_of_older_manifests_count_too() -> None:
    old: dict[str, Any] = {"label": "c2pa.ingredient", "active_manifest": BELOW, "validation_status": []}
    found = {"manifests": {TOP: {"ingredients": [old]}, BELOW: {}}, "validation_results": {}}
    assert Statuses(found).of_ingredient(TOP, old)[0] is VALID
    old["validation_status"] = [status("claimSignature.validated"), status("assertion.hashedURI.mismatch")]
    assert Statuses(found).of_ingredient(TOP, old)[0] is BROKEN


@pytest.mark.parametrize("below", [TOP, BELOW])
def test_manifests_in_a_circle_are_broken(below: str) -> None:
    """The library refuses such a store itself; this is the second lock on the door."""
    trusted = {"activeManifest": {"success": [status(TRUST, TOP), status(TRUST)]}}
    parts = {
        TOP: {"label": "c2pa.ingredient.v3", "active_manifest": below, "validation_results": trusted},
        BELOW: {"label": "c2pa.ingredient.v3", "active_manifest": TOP, "validation_results": trusted},
    }
    found = summary(
        {
            "active_manifest": TOP,
            "manifests": {label: {"ingredients": [part]} for label, part in parts.items()},
            "validation_results": trusted,
            "validation_state": "Trusted",
        }
    )
    assert (found.state, found.reasons) == (BROKEN, ("ingredient.cycle",))
    assert len(found.ingredients) == (1 if below == TOP else 2)


@pytest.mark.parametrize("odd", [None, 7, "text", [], [None], [7], {}, {"label": 7}])
def test_a_store_of_odd_values_raises_nothing(odd: object) -> None:
    fields = ("ingredients", "assertions", "signature_info", "claim_generator_info", "claim_generator")
    action = {"label": "c2pa.actions", "data": {"actions": [odd, {"action": odd, "softwareAgent": odd}]}}
    for manifest in (dict.fromkeys(fields, odd), {"assertions": [odd, action]}, odd):
        found = summary(
            {
                "active_manifest": TOP,
                "manifests": {TOP: manifest},
                "validation_results": odd,
                "validation_state": odd,
            }
        )
        assert found.state is BROKEN
    assert summary({"active_manifest": odd, "manifests": odd}).state is BROKEN
