"""Photos of many pixels and bytes: jobs say from what they were scaled, and every door has the same limit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from activities.guardrail import guardrail
from api.durable import with_client
from imagery.contracts import UPLOADS, BlobRef, Stage, StageInput
from imagery.database.tables import utc_now
from imagery.services import Services, get_services
from testbed.pictures import encoded
from testbed.services import forget
from tests.api.test_prices import Door
from tests.api.test_statuses import DurableClient

PHOTO = encoded("JPEG", size=(600, 400))
SMALL = encoded("JPEG")
LIMIT = 100_000
# a sixteenth of it is a quarter of the photo
SETTINGS = {"PICTURE_LIMITS": "max_output_megapixels=0.96", "MAX_UPLOAD_BYTES": str(LIMIT)}


@pytest.fixture
def door(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    forget()
    with with_client(DurableClient()):  # no more of a client is needed
        yield Door()
    get_services().guardrail.close()


def uploaded(door: Door, data: bytes) -> str:
    ref = BlobRef(container=UPLOADS, name=f"{door.user.user_id}/batch-1/{len(data)}.jpg")
    return door.services.storage.write(ref, data, "image/jpeg").path


def examined(door: Door, job_id: str) -> str | None:
    """What the guardrail's stage says of a job."""
    deadline = utc_now() + timedelta(hours=1)
    order = StageInput(job_id=job_id, run=1, stage=Stage.GUARDRAIL, deadline=deadline)
    code: str | None = guardrail(order.to_json())["error_code"]
    return code


def test_a_photo_that_was_scaled_down_says_from_what(door: Door) -> None:
    for data, megapixels in ((PHOTO, 0.24), (SMALL, None)):
        file = {"file": ("p.jpg", data, "image/jpeg")}
        assert door.post("/guardrail/validate", files=file).json()["scaled_from_mp"] == megapixels
        sent = door.post("/process", files=file).json()["job_id"]
        named = door.post("/process", json={"blob": uploaded(door, data)}).json()["job_id"]
        for job_id in (sent, named):
            assert examined(door, job_id) is None
            shown = door.call("GET", f"/status/{job_id}").json()
            assert shown["scaled_from_mp"] == megapixels
    limits = door.call("GET", "/guardrail/limits").json()
    assert (limits["max_megapixels"], limits["working_megapixels"], limits["max_bytes"]) == (52, 0.06, LIMIT)


@pytest.mark.parametrize(("size", "is_taken"), [(LIMIT, True), (LIMIT + 1, False)])
def test_every_door_takes_a_file_of_the_limit_and_none_above_it(
    door: Door, size: int, is_taken: bool
) -> None:
    data = PHOTO + bytes(size - len(PHOTO))
    sent = door.post("/process", files={"file": ("p.jpg", data, "image/jpeg")})
    upload = {"filename": "p.jpg", "content_type": "image/jpeg", "size": size}
    # a link can't be had for files, which is found out after the size
    asked = door.post("/uploads", json=upload).status_code
    named = door.post("/process", json={"blob": uploaded(door, data)}).json()["job_id"]
    found = (sent.status_code, asked, examined(door, named))
    assert found == ((202, 409, None) if is_taken else (413, 413, "file_too_large")), sent.text


def test_the_limits_in_force_are_those_that_are_promised(services: Services) -> None:
    limits = services.settings.guardrail
    assert limits.max_upload_bytes >= 60_000_000
    # 50 MP as cameras make them: 8688 x 5792, 8192 x 6144, 8256 x 6192
    assert limits.picture.max_megapixels * 1e6 >= 8256 * 6192
    assert limits.picture.max_side_px >= 8688
