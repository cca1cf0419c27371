"""What a person sees of where the placed picture comes from: one sentence, and the chain for who asks."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from imagery.provenance.credentials import NO_CREDENTIALS
from imagery.provenance.local_authority import issue
from imagery.provenance.manifest import Role
from imagery.provenance.sign import PictureSigner
from testbed.credentials import camera, manifest_of, signed
from testbed.pictures import encoded
from tests.dashboard.conftest import Pictures
from tests.dashboard.test_accessibility import Scheme, violations
from tests.imagery.provenance.conftest import source, statement


def signed_picture() -> dict[str, Any]:
    """Of a picture from a model's answer and a photo whose camera is on no list here."""
    ours, theirs = issue("Our TEST authority", "Our TEST signer"), camera()
    answer = signed(theirs, encoded(), "image/png", manifest_of("Image model", "trainedAlgorithmicMedia"))
    photo = signed(theirs, encoded(), "image/png", manifest_of("Camera", "digitalCapture"))
    made = statement(
        source(Role.ANSWER, answer, "image/png", theirs.anchors_pem),
        source(Role.PHOTO, photo, "image/png", theirs.anchors_pem),
    )
    return (
        PictureSigner(ours, ours.anchors_pem)
        .sign(encoded(), "image/png", made)
        .credentials.model_dump(mode="json")
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
@pytest.mark.parametrize("state", ["trusted", "valid", "broken", "none"])
def test_a_job_shows_where_its_picture_comes_from(
    page: Page, completed: str, pictures: Pictures, state: str, width: int, scheme: Scheme
) -> None:
    found = NO_CREDENTIALS.model_dump(mode="json") if state == "none" else signed_picture() | {"state": state}
    page.route(f"**/api/v1/jobs/{completed}/provenance", lambda route: route.fulfill(json=found))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 860})
    page.goto(f"/jobs/{completed}")
    shown = page.get_by_test_id("credentials")
    expect(shown).to_have_attribute("data-state", state)
    if state != "none":
        shown.locator("summary").press("Enter")
        expect(shown.get_by_role("list", name="Chain of statements")).to_be_visible()
        expect(shown).to_contain_text("Contains: the photo")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown.scroll_into_view_if_needed()
    pictures.take(page, f"credentials-{state}-{width}")


def test_a_picture_that_nobody_signed_says_so(page: Page, completed: str) -> None:
    page.route(
        f"**/api/v1/jobs/{completed}/provenance",
        lambda route: route.fulfill(status=404, content_type="application/problem+json", body="{}"),
    )
    page.goto(f"/jobs/{completed}")
    expect(page.get_by_test_id("credentials")).to_have_text(
        "CRContent Credentials: NoneThis picture is not signed."
    )


def test_a_file_that_is_dropped_says_where_it_comes_from(page: Page, pictures: Pictures) -> None:
    photo = signed(camera(), encoded(), "image/png", manifest_of("Camera", "digitalCapture"))
    page.goto("/")
    page.get_by_role("link", name="Check where a file comes from").click()
    page.get_by_test_id("file-input").set_input_files(
        {"name": "photo.png", "mimeType": "image/png", "buffer": photo}
    )
    shown = page.get_by_test_id("credentials")
    expect(shown).to_have_attribute("data-state", "valid")
    expect(shown).to_contain_text("Signed by Camera 1234, who is not on the trust list here")
    shown.locator("summary").click()
    expect(shown).to_contain_text("taken by a camera")
    assert violations(page) == []
    pictures.take(page, "verify")
    page.get_by_test_id("file-input").set_input_files(
        {"name": "plain.png", "mimeType": "image/png", "buffer": encoded()}
    )
    expect(shown).to_have_attribute("data-state", "none")
