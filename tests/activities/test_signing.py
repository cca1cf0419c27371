"""The delivered picture says what it is: signed, with the whole chain, however the first attempts end."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import c2pa
import httpx
import pytest
from PIL import Image

from activities.place import place
from api.intake import Submission, job_request
from api.views import job_status
from imagery.contracts import (
    JOBS,
    UPLOADS,
    BlobRef,
    JobOptions,
    JobRequest,
    JsonObject,
    Stage,
    StageInput,
    StageOutcome,
    paid_answer,
    stage_output,
)
from imagery.database.counters import Metric, read_counts
from imagery.database.events import EventFilter, last_events
from imagery.database.tables import utc_now
from imagery.guardrail.sandbox import SandboxBusyError
from imagery.identity import Tokens
from imagery.png import has_manifest
from imagery.principal import Principal, Role
from imagery.provenance.credentials import Credentials, CredentialsState
from imagery.provenance.key_vault import KeyVaultSigner, Vault, chain_loader
from imagery.provenance.local_authority import issue
from imagery.provenance.reader import read
from imagery.provenance.sign import PictureSigner, PictureSigners
from imagery.provenance.signer import Signer, SignerRefusedError, SignerUnavailableError
from imagery.provenance.trust import reading_context
from imagery.services import Services, get_services
from testbed.credentials import camera, camera_photo, one_byte_changed
from testbed.servers import Server
from testbed.services import forget
from tests.activities.test_place import billed
from tests.activities.test_reuse import picture
from tests.imagery.provenance.test_key_vault import KEY, SECRET, Credential, FakeVault

PAID_USD = 0.08


def make_job(services: Services, job_id: str, photo: bytes | None = None) -> str:
    """A job before its paid stage; ``photo``: its upload as it came."""
    name = f"ann/{job_id}.jpg"
    source = services.storage.write(BlobRef(container=UPLOADS, name=name), photo or picture(), "image/jpeg")
    options = JobOptions(prompt="on a sunny beach")
    return begun(services, JobRequest(job_id=job_id, source=source, owner_id="ann", options=options))


def begun(services: Services, request: JobRequest) -> str:
    """The job of a request before its paid stage."""
    job_id = request.job_id
    services.jobs.create(request, instance_id=f"{job_id}-1", deadline=utc_now() + timedelta(hours=1))
    for stage in (Stage.GUARDRAIL, Stage.REMBG, Stage.REALESRGAN):
        services.stages.begin(job_id, 1, stage)
        target = services.storage.write(stage_output(job_id, stage), picture(), "image/png")
        hashed = "hash" if stage is Stage.GUARDRAIL else None
        services.stages.succeed(job_id, stage, target, content_hash=hashed)
    return job_id


def order(job_id: str, left: timedelta = timedelta(hours=1)) -> JsonObject:
    deadline = utc_now() + left
    return StageInput(job_id=job_id, run=1, stage=Stage.NANO_BANANA, deadline=deadline).to_json()


def delivered(services: Services, job_id: str) -> bytes:
    return services.storage.read(stage_output(job_id, Stage.NANO_BANANA))


def said(services: Services, job_id: str) -> Credentials:
    return services.guardrail.credentials(delivered(services, job_id))


def events(services: Services, job_id: str, name: str) -> list[dict[str, Any]]:
    page = last_events(services.database, EventFilter(job_id=job_id), limit=100, scan=1000)
    return [dict(event.data or {}) for event in page.events if event.event == name]


def status_says(services: Services, job_id: str) -> str | None:
    view = services.jobs.view(job_id)
    assert view is not None
    return job_status(view).credentials


def counted(services: Services) -> dict[str, int]:
    with services.database.read() as session:
        return dict(read_counts(session, None).get(Metric.SIGNED, {}))


def with_settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Services:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget()
    return get_services()


class Away:
    """A key that can't be used, until it is mended."""

    def __init__(self, signer: Signer, error: Exception | None) -> None:
        self._signer = signer
        self.error = error
        self.chain_pem, self.anchors_pem = signer.chain_pem, signer.anchors_pem

    def sign_digest(self, digest: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        return self._signer.sign_digest(digest)


class Signers(PictureSigners):
    """One signer, given."""

    def __init__(self, signer: Signer) -> None:
        self._given = PictureSigner(signer)

    def get(self) -> PictureSigner:
        return self._given


def test_a_signed_photo_and_a_signed_answer_make_one_store_with_the_whole_chain(
    services: Services, simulator: Server
) -> None:
    job_id = make_job(services, "whole", camera_photo(camera()))
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    data = delivered(services, job_id)
    with c2pa.Reader("image/png", io.BytesIO(data)) as reader:
        store = json.loads(reader.json())
    top = store["manifests"][store["active_manifest"]]
    parts = {each["title"]: (each["relationship"], "active_manifest" in each) for each in top["ingredients"]}
    assert parts == {
        "answer": ("parentOf", True),
        "clean_photo": ("componentOf", False),
        "photo": ("componentOf", True),
    }
    assert len(store["manifests"]) == 3
    (told,) = [each["data"] for each in top["assertions"] if each["label"] == "imagery.job"]
    assert told["job_id"] == job_id
    found = said(services, job_id)
    assert found.state is CredentialsState.VALID
    assert found.says_ai
    assert found.manifest is not None
    assert [each.action for each in found.manifest.actions] == [
        "c2pa.opened",
        "c2pa.edited",
        "c2pa.resized",
        "c2pa.placed",
    ]
    answer = services.storage.read(paid_answer(job_id, Stage.NANO_BANANA, 1))
    with Image.open(io.BytesIO(answer)) as came, Image.open(io.BytesIO(data)) as shown:
        assert shown.tobytes() == came.tobytes()
    assert data.count(b"caBX") == 1
    assert counted(services) == {"valid": 1}
    assert status_says(services, job_id) == "valid"
    (event,) = events(services, job_id, "picture_signed")
    assert event["sources"] == {"answer": "valid", "clean_photo": "none", "photo": "valid"}


def corner(data: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(data)) as image:
        found = image.convert("RGB").getpixel((image.width - 1, image.height - 1))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("mode", ["sign", "off"])
def test_a_label_is_on_the_delivered_picture_and_never_on_the_answer_that_is_kept(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    plain = make_job(services, "plain")
    place(order(plain))
    unlabelled = said(services, plain).manifest
    assert unlabelled is not None
    services = with_settings(monkeypatch, CONTENT_CREDENTIALS=f"mode={mode} label=AI-generated")
    taken = make_job(services, "taken")
    assert place(order(taken))["outcome"] == StageOutcome.SUCCEEDED
    again = make_job(services, "again")
    assert place(order(again))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, taken)[0] == billed(simulator, again)[0] == 0, "a label costs no second picture"
    answer = services.storage.read(paid_answer(plain, Stage.NANO_BANANA, 1))
    assert corner(answer) != (0, 0, 0)
    for job_id in (taken, again):
        assert corner(delivered(services, job_id)) == (0, 0, 0)
        found = said(services, job_id)
        assert found.says_ai
        assert (found.manifest is not None) == (mode == "sign")
        if found.manifest is not None:
            scene, label = found.manifest.actions[-2:]
            assert scene.software_agent == unlabelled.actions[-1].software_agent
            assert (label.action, label.digital_source_type) == ("c2pa.edited", None)
            assert label.software_agent is not None
            assert label.software_agent.startswith("Imagery")


@pytest.mark.parametrize("left_out", [None, "camera", "provider"])
def test_a_chain_is_trusted_where_every_root_is_on_the_list_and_else_valid(
    services: Services,
    simulator: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    left_out: str | None,
) -> None:
    maker = camera()
    roots = {"camera": maker.anchors_pem, "provider": simulator.client.get("/_simulator/trust").text}
    roots.pop(left_out or "", None)
    listed = tmp_path / "trusted.pem"
    listed.write_text("".join(roots.values()))
    services = with_settings(monkeypatch, CONTENT_CREDENTIALS=f"trust={listed}")
    job_id = make_job(services, "listed", camera_photo(maker))
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    found = said(services, job_id)
    expected = "trusted" if left_out is None else "valid"
    assert found.state == status_says(services, job_id) == expected
    assert found.reasons == (() if left_out is None else ("signingCredential.untrusted",))
    assert found.manifest is not None
    assert found.manifest.state is CredentialsState.TRUSTED, "ours, whoever else is in the chain"
    elsewhere = read(delivered(services, job_id), reading_context(""))
    assert (elsewhere.state, elsewhere.reasons) == ("valid", ("signingCredential.untrusted",))


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_photo_sent_with_the_request_is_in_the_chain_though_only_its_clean_copy_is_kept(
    services: Services, is_broken: bool
) -> None:
    photo = one_byte_changed(camera_photo(camera())) if is_broken else camera_photo(camera())
    sent = Submission(JobOptions(), "0" * 64, "image/jpeg", photo)
    request = job_request(sent, Principal("ann", "ann", Role.OPERATOR), str(uuid.uuid4()))
    job_id = begun(services, request)
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    found = said(services, job_id)
    (shown,) = [each for each in found.ingredients if each.title == "photo"]
    assert shown.manifest is not None
    assert shown.manifest.signer == "Camera 1234"
    assert found.state == shown.state == ("broken" if is_broken else "valid")
    (event,) = events(services, job_id, "picture_signed")
    assert event["sources"]["photo"] == shown.state
    pixels = photo[-200:-100]
    kept = [
        ref
        for ref in services.storage.list(JOBS, f"{job_id}/")
        if ref != stage_output(job_id, Stage.GUARDRAIL)
    ]
    assert not any(pixels in services.storage.read(ref) for ref in kept)


@pytest.mark.parametrize(("fault", "state"), [("broken_signature", "broken"), ("unsigned", "none")])
def test_what_the_provider_broke_or_left_out_is_said_and_not_trusted(
    services: Services, simulator: Server, fault: str, state: str
) -> None:
    simulator.client.post("/_simulator/faults", json={"next": [fault]})
    job_id = make_job(services, fault)
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    found = said(services, job_id)
    assert found.manifest is not None
    assert found.manifest.state is not CredentialsState.BROKEN, "our own signature is good"
    answer = next(each for each in found.ingredients if each.title == "answer")
    assert answer.state == state
    assert (found.state is CredentialsState.BROKEN) == (state == "broken")
    assert status_says(services, job_id) == found.state
    (event,) = events(services, job_id, "picture_signed")
    assert event["sources"]["answer"] == state


def test_a_job_waits_for_key_vault_is_signed_in_the_end_and_pays_once(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = issue("A public CA", "A company")
    fake = FakeVault(company, company.chain_pem)
    fake.respond = lambda: httpx.Response(503)
    tokens = Tokens(Credential(), "https://vault.azure.net/.default", 300)  # type: ignore[arg-type]
    vault = Vault(tokens, httpx.Client(transport=httpx.MockTransport(fake)))
    signer = KeyVaultSigner(KEY, chain_loader(SECRET, vault), vault)
    away = replace(services, picture_signers=Signers(signer))
    monkeypatch.setattr("activities.stage.get_services", lambda: away)
    job_id = make_job(services, "waits")
    for _ in range(2):
        told = place(order(job_id))
        assert (told["outcome"], told["error_code"]) == (StageOutcome.RETRY_LATER, "signing_unavailable")
        assert told["message"].startswith("The picture is paid and kept")
        assert status_says(services, job_id) == "waiting"
    assert not services.storage.exists(stage_output(job_id, Stage.NANO_BANANA))
    fake.respond = None
    told = place(order(job_id))
    assert (told["outcome"], told["cost_usd"]) == (StageOutcome.SUCCEEDED, PAID_USD)
    manifest = said(services, job_id).manifest
    assert manifest is not None
    assert manifest.signer == "A company"
    assert billed(simulator, job_id) == (1, 1)


@pytest.mark.parametrize(
    ("mode", "outcome"), [("sign", StageOutcome.SUCCEEDED), ("require", StageOutcome.FAILED)]
)
def test_before_the_deadline_a_picture_without_key_is_delivered_unsigned_or_never(
    services: Services,
    simulator: Server,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    outcome: StageOutcome,
) -> None:
    services = with_settings(monkeypatch, CONTENT_CREDENTIALS=f"mode={mode}")
    key = Away(camera(), SignerUnavailableError("Key Vault did not respond."))
    away = replace(services, picture_signers=Signers(key))
    monkeypatch.setattr("activities.stage.get_services", lambda: away)
    job_id = make_job(services, mode)
    told = place(order(job_id, timedelta(seconds=30)))
    assert told["outcome"] == outcome
    assert billed(simulator, job_id) == (1, 1)
    if outcome is StageOutcome.SUCCEEDED:
        (event,) = events(services, job_id, "delivered_unsigned")
        assert event["error_code"] == "signing_unavailable"
        assert counted(services) == {"unsigned": 1}
        assert status_says(services, job_id) == "untouched"
        answer = services.storage.read(paid_answer(job_id, Stage.NANO_BANANA, 1))
        assert delivered(services, job_id) == answer, "the provider's mark stays whole"
        return
    assert told["error_code"] == "signing_unavailable"
    assert not services.storage.exists(stage_output(job_id, Stage.NANO_BANANA))
    view = services.jobs.view(job_id)
    assert view is not None
    assert next(row.cost_usd for row in view.stages if row.stage == Stage.NANO_BANANA) == PAID_USD


@pytest.mark.parametrize("mode", ["sign", "require"])
def test_a_key_that_refuses_is_waited_for_only_where_a_signature_is_required(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    services = with_settings(monkeypatch, CONTENT_CREDENTIALS=f"mode={mode}")
    away = replace(services, picture_signers=Signers(Away(camera(), SignerRefusedError("no role"))))
    monkeypatch.setattr("activities.stage.get_services", lambda: away)
    simulator.client.post("/_simulator/faults", json={"next": ["unsigned"]})
    job_id = make_job(services, mode)
    told = place(order(job_id))
    expected = StageOutcome.SUCCEEDED if mode == "sign" else StageOutcome.RETRY_LATER
    assert told["outcome"] == expected
    assert status_says(services, job_id) == ("unsigned" if mode == "sign" else "waiting")


def test_without_a_key_in_prod_the_picture_is_delivered_and_the_job_says_why_it_is_unsigned(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    prod = services.settings.model_copy(update={"env": "PROD"})
    monkeypatch.setattr(
        "activities.stage.get_services", lambda: replace(services, picture_signers=PictureSigners(prod))
    )
    job_id = make_job(services, "prod")
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    (event,) = events(services, job_id, "delivered_unsigned")
    assert event["error_code"] == "signing_misconfigured"


def test_nothing_is_signed_where_the_settings_say_so(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = with_settings(monkeypatch, CONTENT_CREDENTIALS="mode=off")
    job_id = make_job(services, "off")
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    found = said(services, job_id)
    assert found.manifest is not None, "the provider's own"
    assert found.state is CredentialsState.VALID
    assert not events(services, job_id, "picture_signed")
    assert counted(services) == {}
    assert status_says(services, job_id) is None


def test_a_picture_taken_over_names_the_new_job_and_the_providers_answer(
    services: Services, simulator: Server
) -> None:
    jobs = [make_job(services, name) for name in ("first", "second", "third")]
    for job_id in jobs:
        assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert [billed(simulator, job_id)[0] for job_id in jobs] == [1, 0, 0]
    pixels = set()
    for job_id in jobs:
        data = delivered(services, job_id)
        assert data.count(b"caBX") == 1
        with c2pa.Reader("image/png", io.BytesIO(data)) as reader:
            store = json.loads(reader.json())
        top = store["manifests"][store["active_manifest"]]
        (told,) = [each["data"]["job_id"] for each in top["assertions"] if each["label"] == "imagery.job"]
        assert told == job_id
        assert len(store["manifests"]) == 2, "ours and the provider's, and no earlier job's"
        with Image.open(io.BytesIO(data)) as shown:
            pixels.add(shown.tobytes())
    assert len(pixels) == 1
    first, *others = (said(services, job_id).manifest for job_id in jobs)
    assert first is not None
    for other in others:
        assert other is not None
        assert other.actions[-1].software_agent == first.actions[-1].software_agent
    assert counted(services) == {"valid": 3}
    assert {status_says(services, job_id) for job_id in jobs} == {"valid"}


def test_a_picture_that_waits_to_be_taken_over_is_not_paid_again(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_job(services, "paid"), make_job(services, "taken")
    place(order(first))
    key = Away(camera(), SignerUnavailableError("Key Vault did not respond."))
    monkeypatch.setattr(
        "activities.stage.get_services", lambda: replace(services, picture_signers=Signers(key))
    )
    assert place(order(second))["error_code"] == "signing_unavailable"
    key.error = None
    assert place(order(second))["outcome"] == StageOutcome.SUCCEEDED
    assert billed(simulator, second) == (0, 0)


class Busy:
    """A guardrail whose workers are all busy with reading credentials."""

    def __init__(self, services: Services) -> None:
        self._guardrail = services.guardrail

    def credentials(self, *_: Any) -> Credentials:
        raise SandboxBusyError("busy")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guardrail, name)


def test_busy_workers_are_waited_for_with_a_picture_of_ones_own_and_with_one_taken_over(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_job(services, "paid"), make_job(services, "taken")
    with monkeypatch.context() as patch:
        busy = replace(services, guardrail=cast(Any, Busy(services)))
        patch.setattr("activities.stage.get_services", lambda: busy)
        assert place(order(first))["outcome"] == StageOutcome.RETRY_LATER
    assert place(order(first))["outcome"] == StageOutcome.SUCCEEDED
    with monkeypatch.context() as patch:
        patch.setattr("activities.stage.get_services", lambda: busy)
        assert place(order(second))["outcome"] == StageOutcome.RETRY_LATER
    assert place(order(second))["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, first)[0], billed(simulator, second)[0]) == (1, 0)


class ProcessDiedError(BaseException):
    """Nothing that follows is done any more."""


def test_a_host_that_dies_after_writing_the_signed_picture_tells_its_state_later(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(services, "dies")

    def die(*_: Any, **__: Any) -> None:
        raise ProcessDiedError

    with monkeypatch.context() as patch:
        patch.setattr(type(services.stages), "succeed_paid", die)
        with pytest.raises(ProcessDiedError):
            place(order(job_id))
    written = delivered(services, job_id)
    assert has_manifest(written)
    assert place(order(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert delivered(services, job_id) == written
    assert counted(services) == {"valid": 1}
    assert billed(simulator, job_id) == (1, 1)
