"""The second provider of the paid stage: asked where the first certainly charged nothing, and never else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import col, select

from activities.attempt import TransientStageError
from activities.place import place
from activities.remove_background import remove_background
from imagery.contracts import AspectRatio, Stage, StageInput, StageOutcome
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.database.money import SpendState
from imagery.database.tables import ImageJob, JobEvent, SpendEntry
from imagery.services import Services, get_services
from testbed.identity_endpoint import IdentityEndpoint
from testbed.servers import Server
from testbed.services import forget
from tests.activities.test_place import billed, make_job, message
from tests.google_cloud import WORDS, GoogleCloud

FIRST, SECOND = GuardedDependency.NANO_BANANA, GuardedDependency.NANO_BANANA_FALLBACK


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    entra, cloud = IdentityEndpoint(), GoogleCloud()
    cloud.stand_in(monkeypatch)
    for name, value in {**entra.environment, "AZURE_CREDENTIAL": "managed_identity"}.items():
        monkeypatch.setenv(name, value)
    yield cloud
    cloud.stop()
    entra.stop()


@pytest.fixture
def both(services: Services, google: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services with the simulator first, and Vertex after it."""
    words = f"fallback=vertex:gemini-3-pro-image {WORDS} url={google.server.url}"
    monkeypatch.setenv("NANO_BANANA_PROVIDER", words)
    forget()
    return get_services()


def fault(simulator: Server, *names: str, **more: object) -> None:
    simulator.client.post("/_simulator/faults", json={"next": list(names), **more}).raise_for_status()


def entry(services: Services, job_id: str) -> SpendEntry:
    with services.database.read() as session:
        return session.exec(select(SpendEntry).where(SpendEntry.job_id == job_id)).one()


def events(services: Services, job_id: str) -> list[str]:
    with services.database.read() as session:
        rows = session.exec(select(JobEvent).where(JobEvent.job_id == job_id).order_by(col(JobEvent.id)))
        return [row.event for row in rows if row.event.startswith("spend_")]


@pytest.mark.parametrize("name", ["dead_key", "suspended", "model_gone", "503", "429", "429_of_the_day"])
def test_where_the_first_charges_nothing_the_second_pays_once(
    both: Services, simulator: Server, google: GoogleCloud, name: str
) -> None:
    fault(simulator, name, retry_delay_s=30)
    job_id = make_job(both)
    answer = place(message(job_id))
    assert (answer["outcome"], answer["cost_usd"]) == (StageOutcome.SUCCEEDED, 0.08)
    assert (billed(simulator, job_id), google.bill(job_id)) == ((1, 0), (1, 1))
    paid = entry(both, job_id)
    assert (paid.state, paid.calls) == (SpendState.SETTLED, 2)
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert google.bill(job_id) == (1, 1)


def test_the_ledger_shows_both_calls(both: Services, simulator: Server, google: GoogleCloud) -> None:
    fault(simulator, "suspended")
    job_id = make_job(both)
    place(message(job_id))
    assert events(both, job_id) == [
        "spend_reserved",
        "spend_sent",
        "spend_released",
        "spend_reserved",
        "spend_sent",
        "spend_settled",
    ]


@pytest.mark.parametrize("name", ["malformed_json", "broken_connection", "proxy_502"])
def test_where_the_first_may_have_charged_the_second_is_never_asked(
    both: Services, simulator: Server, google: GoogleCloud, name: str
) -> None:
    fault(simulator, name)
    job_id = make_job(both)
    for _ in range(3):
        assert place(message(job_id))["error_code"] == "payment_unknown"
    assert (billed(simulator, job_id)[0], google.bill(job_id)) == (1, (0, 0))
    assert entry(both, job_id).state == SpendState.UNKNOWN


@pytest.mark.parametrize("name", ["blocked", "text_only", "no_image"])
def test_what_was_judged_is_not_asked_elsewhere(
    both: Services, simulator: Server, google: GoogleCloud, name: str
) -> None:
    fault(simulator, name)
    job_id = make_job(both)
    assert place(message(job_id))["outcome"] != StageOutcome.SUCCEEDED
    assert (billed(simulator, job_id), google.bill(job_id)) == ((1, 0), (0, 0))


def test_an_unknown_end_at_the_second_is_the_end(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    fault(simulator, "dead_key")
    google.fault("malformed_json")
    job_id = make_job(both)
    assert place(message(job_id))["error_code"] == "payment_unknown"
    assert place(message(job_id))["error_code"] == "payment_unknown"
    assert (billed(simulator, job_id), google.bill(job_id)) == ((1, 0), (1, 1))


def test_while_the_first_is_out_of_service_jobs_go_to_the_second_at_once(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    fault(simulator, "dead_key")
    first, other = make_job(both), make_job(both)
    place(message(first))
    assert both.circuits.state(FIRST).state is CircuitState.OPEN
    assert both.circuits.state(SECOND).state is CircuitState.CLOSED
    assert place(message(other))["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, other), google.bill(other)) == ((0, 0), (1, 1))


def test_with_both_down_a_job_waits_for_the_one_that_is_back_first(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    fault(simulator, "429", retry_delay_s=200)
    google.fault("429", retry_delay_s=30)
    job_id, other = make_job(both), make_job(both)
    told = place(message(job_id))
    assert (told["outcome"], told["error_code"]) == (StageOutcome.RETRY_LATER, "nano_banana_rate_limited")
    assert 25 < told["retry_after_s"] < 60
    waiting = place(message(other))
    assert (waiting["outcome"], waiting["error_code"]) == (StageOutcome.RETRY_LATER, "circuit_open")
    assert (billed(simulator, other), google.bill(other)) == ((0, 0), (0, 0))
    assert (billed(simulator, job_id), google.bill(job_id)) == ((1, 0), (1, 0))


def test_with_both_failing_the_retry_policy_goes_on(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    fault(simulator, "503")
    google.fault("503")
    job_id = make_job(both)
    with pytest.raises(TransientStageError):
        place(message(job_id))
    assert entry(both, job_id).state == SpendState.RELEASED
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert (billed(simulator, job_id), google.bill(job_id)) == ((2, 1), (1, 0))


def test_no_picture_and_no_reason_twice_is_the_end_at_the_second_too(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    fault(simulator, "503", "503", "503")
    google.fault("no_image", "no_image", "no_image")
    job_id = make_job(both)
    assert place(message(job_id))["outcome"] == StageOutcome.RETRY_LATER
    last = place(message(job_id))
    assert (last["outcome"], last["error_code"]) == (StageOutcome.FAILED, "nano_banana_no_image")
    assert google.bill(job_id) == (2, 0)


def test_an_operator_who_stops_the_first_stops_all_spending(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    both.circuits.open_by_hand(FIRST, "olga")
    job_id = make_job(both)
    assert place(message(job_id))["error_code"] == "circuit_open"
    assert (billed(simulator, job_id), google.bill(job_id)) == ((0, 0), (0, 0))


class DiedError(BaseException):
    """The process is gone: nothing of ours runs any more."""


@pytest.mark.parametrize("moment", ["reserve", "mark_sent"])
def test_a_process_that_dies_between_the_two_calls_pays_once(
    both: Services, simulator: Server, google: GoogleCloud, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    fault(simulator, "dead_key")
    job_id, calls = make_job(both), 0
    original = getattr(both.ledger, moment)

    def dies(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DiedError
        return original(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(both.ledger, moment, dies)
        with pytest.raises(DiedError):
            place(message(job_id))
    assert (billed(simulator, job_id), google.bill(job_id)) == ((1, 0), (0, 0))
    assert place(message(job_id))["outcome"] == StageOutcome.SUCCEEDED
    assert google.bill(job_id) == (1, 1)
    assert entry(both, job_id).state == SpendState.SETTLED


def test_a_model_that_can_not_be_asked_for_the_same_is_left_out(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    fault(simulator, "503")
    job_id = make_job(both)
    with both.database.write() as session:
        job = session.get(ImageJob, job_id)
        assert job is not None
        job.options = {**job.options, "aspect_ratio": AspectRatio.LANDSCAPE_8_1.value}
    with pytest.raises(TransientStageError):
        place(message(job_id))
    assert google.bill(job_id) == (0, 0)


def cut_out(job_id: str) -> dict[str, Any]:
    order = StageInput.from_json(message(job_id))
    return remove_background(order.model_copy(update={"stage": Stage.REMBG}).to_json())


def test_gpu_time_is_in_vain_only_when_no_provider_is_left(
    both: Services, simulator: Server, google: GoogleCloud
) -> None:
    """No GPU service runs here: whoever gets so far raises."""
    simulator.client.post("/_simulator/faults", json={"rate": 1, "kinds": ["dead_key"]}).raise_for_status()
    job_id, other = make_job(both), make_job(both)
    place(message(job_id))
    assert both.circuits.state(FIRST).last_error == "nano_banana_forbidden"
    assert cut_out(other)["error_code"] == "gpu_starting"
    google.revoked = 10
    assert place(message(other))["outcome"] == StageOutcome.RETRY_LATER
    assert both.circuits.state(SECOND).last_error == "nano_banana_forbidden"
    assert cut_out(other)["error_code"] == "circuit_open"
    google.revoked = 0
    both.circuits.close_by_hand(SECOND, "olga")
    assert cut_out(other)["error_code"] == "gpu_starting"
