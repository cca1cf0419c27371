"""The metrics that a scrape serves."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from api.app import create_app
from imagery.contracts import GpuHealth
from imagery.principal import Role
from imagery.services import get_services
from testbed.services import forget
from tests.infra.emitted import samples

Served = dict[str, set[str]]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Sample names with their labels, as ``/api/v1/metrics`` serves them to an operator."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENV": "DEV",
            "AzureWebJobsStorage": "",
            "LOCAL_STORAGE_PATH": str(folder / "store"),
            "DATABASE_URL": f"sqlite:///{folder / 'imagery.db'}",
        }.items():
            patch.setenv(name, value)
        forget()
        try:
            get_services().gpu_answers.keep(GpuHealth(state="READY"))
            _, key = get_services().users.create("prometheus", Role.OPERATOR)
            return samples(_get(create_app(), "/api/v1/metrics", {"X-API-Key": key}))
        finally:
            get_services().guardrail.close()
            forget()


def _get(app: Starlette, path: str, headers: dict[str, str]) -> str:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path, headers=headers)

    answer = asyncio.run(go())
    assert answer.status_code == 200, answer.text
    return answer.text
