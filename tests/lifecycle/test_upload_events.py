"""Blobs that nobody was given a link for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imagery.contracts import UPLOADS, JobState
from imagery.database.job_views import JobFilter
from imagery.services import Services
from lifecycle.uploads import on_upload


class NoClient:
    """Starts nothing: a refused upload has nothing to start."""

    async def start_new(self, *_: Any) -> str:
        raise AssertionError("an orchestration was started")


@pytest.mark.parametrize("name", ["a//b.jpg", "../jobs/x.png", "a/./b.jpg", "a\x01.jpg"])
def test_a_blob_whose_name_no_store_takes_ends_rejected(services: Services, name: str) -> None:
    for _ in range(2):
        asyncio.run(on_upload(NoClient(), UPLOADS, name))
    (view,) = services.jobs.page(JobFilter(owner_id="storage"), limit=10).jobs
    assert (view.job.state, view.job.error_code) == (JobState.REJECTED, "invalid_blob_name")
    assert view.job.source_name == name


def test_a_blob_that_has_gone_is_no_job(services: Services) -> None:
    asyncio.run(on_upload(NoClient(), UPLOADS, "gone.jpg"))
    assert services.jobs.page(JobFilter(owner_id=None), limit=10).jobs == []
