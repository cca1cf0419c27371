"""Content Credentials of untrusted files are read behind the walls, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from imagery.contracts import CheckResult, JobOptions
from imagery.environment import read
from imagery.guardrail.examine import Guardrail
from imagery.provenance.credentials import CredentialsState
from imagery.provenance.local_authority import local_signer
from imagery.provenance.manifest import GENERATED
from imagery.provenance.signers import local_folder
from imagery.provenance.xmp import with_source_type
from imagery.settings import Settings
from testbed.credentials import TYPES, camera, camera_photo, model_answer, one_byte_changed
from testbed.pictures import encoded
from tests.imagery.guardrail.conftest import Make

# each test starts processes that load the classifier
pytestmark = pytest.mark.slow
NONE, TRUSTED, VALID, BROKEN = CredentialsState


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return read(Settings, {"LOCAL_STORAGE_PATH": str(tmp_path_factory.mktemp("data"))})


@pytest.fixture(scope="module")
def guardrail(settings: Settings) -> Iterator[Guardrail]:
    made = Guardrail(settings)
    yield made
    made.close()


@pytest.mark.parametrize("kind", TYPES)
def test_each_format_is_read(guardrail: Guardrail, kind: str) -> None:
    photo = camera_photo(camera(), kind)
    assert guardrail.credentials(photo).state is VALID
    assert guardrail.credentials(encoded(kind)).state is NONE
    assert guardrail.credentials(one_byte_changed(photo, photo.rindex(b"c2pa.hash"))).state is BROKEN


@pytest.mark.parametrize("kind", TYPES)
def test_a_signed_photo_is_admitted_like_another(guardrail: Guardrail, kind: str) -> None:
    report = guardrail.examine(camera_photo(camera(), kind), TYPES[kind], JobOptions()).report
    assert (report.admitted, report.message) == (True, "admitted")


def test_what_this_machine_signs_is_trusted_here(guardrail: Guardrail, settings: Settings) -> None:
    ours = local_signer(local_folder(settings))
    assert guardrail.credentials(camera_photo(ours)).state is TRUSTED


def test_a_hundred_files_leave_the_worker_as_it_was(guardrail: Guardrail) -> None:
    photo = camera_photo(camera())
    answer = model_answer(camera(), ("inputTo", "image/jpeg", photo))
    guardrail.credentials(answer)
    (worker,) = guardrail.sandbox.pids
    before = psutil.Process(worker).memory_info().rss
    for _ in range(100):
        assert guardrail.credentials(answer).state is VALID
    assert guardrail.sandbox.pids == [worker]
    assert psutil.Process(worker).memory_info().rss - before < 16 * 2**20


def test_a_file_that_takes_too_long_is_broken(make: Make, tmp_path: Path) -> None:
    quick = make(GUARDRAIL_SANDBOX="timeout_s=0.02", LOCAL_STORAGE_PATH=str(tmp_path))
    found = quick.credentials(camera_photo(camera()) + bytes(200_000_000))
    assert (found.state, found.reasons) == (BROKEN, ("decoding_too_slow",))
    assert quick.sandbox.pids == []


def test_a_file_that_ends_every_worker_is_broken(make: Make, tmp_path: Path) -> None:
    small = make(GUARDRAIL_SANDBOX="memory_mb=400", LOCAL_STORAGE_PATH=str(tmp_path))
    found = small.credentials(camera_photo(camera()) + bytes(150_000_000))
    assert (found.state, found.reasons) == (BROKEN, ("decoder_crashed",))
    assert small.credentials(encoded()).state is NONE, "the next file gets a worker again"


def test_without_the_file_of_the_trust_list_nobody_is_trusted(make: Make, tmp_path: Path) -> None:
    guardrail = make(CONTENT_CREDENTIALS="trust=/nowhere/list.pem", LOCAL_STORAGE_PATH=str(tmp_path))
    assert guardrail.credentials(camera_photo(camera())).state is VALID


def found(guardrail: Guardrail, data: bytes) -> CheckResult:
    report = guardrail.examine(data, None, JobOptions()).report
    return next(check for check in report.checks if check.name == "content_credentials")


def test_the_report_says_who_signed_a_photo_and_refuses_nothing_by_itself(
    guardrail: Guardrail, settings: Settings
) -> None:
    photo = camera_photo(camera())
    ours = camera_photo(local_signer(local_folder(settings)))
    measured = [found(guardrail, data) for data in (encoded("JPEG"), photo, ours, one_byte_changed(photo))]
    assert [each.passed for each in measured] == [True] * 4
    assert [each.measured.split(", ")[0] for each in measured] == ["none", "valid", "trusted", "broken"]
    assert measured[1].measured == "valid, Camera 1234, digitalCapture"


def test_broken_photos_and_pictures_of_a_model_are_refused_where_the_settings_say_so(make: Make) -> None:
    strict = make(PICTURE_LIMITS="refuse_broken=true refuse_ai=true")
    photo = camera_photo(camera())
    broken, ai = found(strict, one_byte_changed(photo)), found(strict, model_answer(camera()))
    assert (broken.passed, broken.code) == (False, "broken_credentials")
    assert (ai.passed, ai.code) == (False, "made_by_ai")
    assert found(strict, with_source_type(encoded("PNG"), "image/png", GENERATED)).code == "made_by_ai"
    assert found(strict, photo).passed
    assert found(strict, encoded("PNG")).passed
