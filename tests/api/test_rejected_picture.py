"""A picture that was paid and rejected: the job says so, and no route leads to it."""

from __future__ import annotations

import pytest

from activities.finish_job import finish_job
from activities.place import place
from api.app import create_app
from imagery.contracts import FinishInput, JobState, Stage, StageOutcome, paid_answer
from imagery.principal import Role
from imagery.services import Services, get_services
from testbed.servers import Server
from testbed.services import forget
from tests.activities.test_place import billed, make_job, message
from tests.api.test_app import call


def test_a_rejected_picture_is_paid_for_and_out_of_reach(
    services: Services, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICTURE_LIMITS", "max_nsfw_score=0")
    forget()
    job_id = make_job(get_services())
    assert place(message(job_id))["outcome"] == StageOutcome.REJECTED
    finish_job(FinishInput(job_id=job_id, run=1, state=JobState.FAILED, stage=Stage.NANO_BANANA).to_json())
    app, key = create_app(), {"X-API-Key": get_services().users.create("olga", Role.OPERATOR)[1]}
    told = call(app, "GET", f"/api/v1/status/{job_id}", headers=key).json()
    assert (told["state"], told["error"]["code"]) == ("FAILED", "placed_picture_rejected")
    assert "was paid" in told["error"]["message"]
    assert told["cost_usd"] == 0.08
    spend = call(app, "GET", "/api/v1/spend", headers=key).json()
    assert billed(simulator, job_id) == (1, 1)
    assert "0.08" in str(spend)
    kept = paid_answer(job_id, Stage.NANO_BANANA, 1)
    assert get_services().storage.exists(kept)
    name = kept.name.rpartition("/")[2]
    for wanted in ("nano_banana", name, name.removesuffix(".answer"), f"..%2F{name}"):
        answer = call(app, "GET", f"/api/v1/jobs/{job_id}/images/{wanted}", headers=key)
        assert answer.status_code in {404, 422}, wanted
    get_services().guardrail.close()
