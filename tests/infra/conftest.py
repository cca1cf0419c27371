"""The metrics that a scrape serves, with a GPU service beside it."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.app import create_app
from gpu_container.server import create_app as create_gpu_app
from gpu_container.settings import GpuSettings
from imagery.principal import Role
from imagery.services import get_services
from imagery.storage import LocalStorage
from testbed.servers import Server
from testbed.services import forget
from tests.infra.emitted import samples

Served = dict[str, set[str]]


async def _health(_: Request) -> JSONResponse:
    return JSONResponse({"state": "READY", "replica": "r", "vram_used_gb": 1.5})


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Sample names with their labels, as ``/api/v1/metrics`` serves them to an operator."""
    folder = tmp_path_factory.mktemp("served")
    gpu = Server(Starlette(routes=[Route("/healthz", _health)]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENV": "DEV",
            "AzureWebJobsStorage": "",
            "LOCAL_STORAGE_PATH": str(folder / "store"),
            "DATABASE_URL": f"sqlite:///{folder / 'imagery.db'}",
            "GPU_SERVICE_URL": gpu.url,
        }.items():
            patch.setenv(name, value)
        forget()
        try:
            _, key = get_services().users.create("prometheus", Role.OPERATOR)
            return samples(_get(create_app(), "/api/v1/metrics", {"X-API-Key": key}))
        finally:
            get_services().guardrail.close()
            gpu.stop()
            forget()


@pytest.fixture(scope="session")
def served_by_gpu(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The same of the GPU service's own ``/metrics``."""
    app = create_gpu_app(GpuSettings(), LocalStorage(tmp_path_factory.mktemp("gpu")))
    return samples(_get(app, "/metrics", {}))


def _get(app: Starlette, path: str, headers: dict[str, str]) -> str:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path, headers=headers)

    answer = asyncio.run(go())
    assert answer.status_code == 200, answer.text
    return answer.text
