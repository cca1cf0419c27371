"""Lists that are polled: a page at a time, and nothing again that the caller has already."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from api.app import create_app
from imagery.contracts import JobState, Stage
from imagery.principal import Role
from imagery.services import Services
from tests.api.test_app import call
from tests.lifecycle.jobs import complete, make_batch, make_job


@pytest.fixture
def app(services: Services) -> FastAPI:
    return create_app()


@pytest.fixture
def headers(services: Services) -> dict[str, str]:
    """Of an operator."""
    return {"X-API-Key": services.users.create("operator", Role.OPERATOR)[1]}


def test_a_batch_comes_in_pages_that_hold_each_job_once_in_order(
    app: FastAPI, headers: dict[str, str], services: Services
) -> None:
    batch_id, jobs = make_batch(services, 7)
    make_job(services)
    complete(services, jobs[0])
    services.stages.begin(jobs[1].job_id, 1, Stage.GUARDRAIL)
    services.batches.refuse(
        batch_id, [{"index": 7, "blob": "uploads/x", "code": "source_not_found", "message": "No."}]
    )
    seen: list[str] = []
    query = "?limit=3"
    for number in range(3):
        page = call(app, "GET", f"/api/v1/batches/{batch_id}{query}", headers=headers).json()
        seen += [job["job_id"] for job in page["jobs"]]
        assert len(page["jobs"]) == (3 if number < 2 else 1)
        assert page["states"] == {"COMPLETED": 1, "QUEUED": 5, "VALIDATING": 1}
        assert (page["requested"], page["items"], page["ended"]) == (7, 7, 1)
        assert bool(page["refused"]) == (number == 0), "with the first page"
        query = f"?limit=3&cursor={page['cursor']}"
    assert page["cursor"] is None
    assert seen == [job.job_id for job in jobs]
    counts = call(app, "GET", f"/api/v1/batches/{batch_id}?limit=0", headers=headers).json()
    assert (counts["jobs"], counts["cursor"], counts["items"]) == ([], None, 7)


def test_the_cost_of_a_batch_is_that_of_all_its_jobs(
    app: FastAPI, headers: dict[str, str], services: Services
) -> None:
    batch_id, jobs = make_batch(services, 3)
    for job in jobs[:2]:
        complete(services, job)
    with services.database.write() as session:
        for job in jobs[:2]:
            view = services.jobs.view(job.job_id)
            assert view is not None
            row = view.stages[-1]
            row.cost_usd = 0.08
            session.add(row)
    page = call(app, "GET", f"/api/v1/batches/{batch_id}?limit=1", headers=headers).json()
    assert page["cost_usd"] == 0.16


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/batches", "/api/v1/batches/{batch_id}"])
def test_what_has_not_changed_is_not_sent_again(
    app: FastAPI, headers: dict[str, str], services: Services, path: str
) -> None:
    batch_id, (job, _) = make_batch(services, 2)
    path = path.format(batch_id=batch_id)
    first = call(app, "GET", path, headers=headers)
    tag = first.headers["ETag"]
    # without these a browser would not ask with the tag by itself
    assert first.headers["Cache-Control"] == "private, no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = call(app, "GET", path, headers={**headers, "If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    services.jobs.finish(job.job_id, 1, JobState.FAILED)
    changed = call(app, "GET", path, headers={**headers, "If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    of_another = call(app, "GET", path, headers={"If-None-Match": changed.headers["ETag"]})
    assert of_another.status_code == (404 if batch_id in path else 200)
