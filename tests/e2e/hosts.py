"""A host alone, whose blob trigger looks once: jobs wait for a GPU service that never comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from imagery.contracts import UPLOADS, BlobRef
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import Storage, make_storage
from testbed.azurite import start_azurite
from testbed.stack import Stack
from tests.conftest import stack_environment

MANAGEMENT = "/runtime/webhooks/durabletask"
QUIET = {
    "HOST_BLOB_POLL_S": "3600",
    "GPU_RETRY": "attempts=1000",
    "RETENTION_SCHEDULE": "0 0 0 1 1 *",
    "QUOTA": "concurrent_jobs=100000",
}


@contextmanager
def host_alone(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    **settings: str,
) -> Iterator[Stack]:
    """As in the cloud, with an Azurite of its own."""
    folder = tmp_path_factory.mktemp("host")
    # other hosts watch the uploads of the shared one
    azurite = start_azurite(tmp_path_factory.mktemp("azurite-alone"))
    environment = stack_environment("PROD", folder, request, azurite)
    running = Stack(folder, environment | QUIET | settings)
    try:
        running.start_host()
        yield running
    finally:
        running.stop()
        azurite.stop()


def store_of(stack: Stack) -> Storage:
    """The store that the host works on."""
    return make_storage(read(Settings, stack.environment))


def put_upload(stack: Stack, name: str, data: bytes) -> str:
    """A blob that no event tells of."""
    store_of(stack).write(BlobRef(container=UPLOADS, name=name), data, "image/jpeg")
    return f"{UPLOADS}/{name}"


def instance(stack: Stack, instance_id: str) -> str | None:
    """The runtime status of an instance, None when there is none."""
    answer = stack.client.get(f"{MANAGEMENT}/instances/{instance_id}")
    return None if answer.status_code == 404 else str(answer.json()["runtimeStatus"])


def instances(stack: Stack, *states: str) -> dict[str, str]:
    """Names of the orchestrations in these states, by instance id."""
    query = {"runtimeStatus": ",".join(states), "showInput": "false"}
    found = stack.client.get(f"{MANAGEMENT}/instances/", params=query).json()
    return {each["instanceId"]: each["name"] for each in found}
