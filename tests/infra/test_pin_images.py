"""The base images are named with their digests, and a registry is asked for them as Docker asks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra import pin_images
from infra.pin_images import FILES, ROOT, RegistryError, bases, digest_of, main, pin, unpinned
from testbed.servers import Server
from tests.docs.tree import files
from tests.infra.programs import Programs

# no public source states its digest: 'make pin' asks for it, and the deployment of prod.env waits for that
WITHOUT = {"mcr.microsoft.com/azure-functions/python:4-python3.11"}
DIGEST = "sha256:" + "a" * 64
TEXT = (
    "ARG NODE_IMAGE=node:22-slim\nimage: ${CUDA_IMAGE:-nvidia/cuda:13}\nCUDA_IMAGE: ubuntu:24.04@sha256:"
    + "0" * 64
)


class Registry:
    """Gives the digest to who has its token."""

    def __init__(self) -> None:
        self.digest = DIGEST
        self.accepted = ""
        self.server = Server(
            Starlette(routes=[Route("/v2/{rest:path}", self.manifest), Route("/token", self.token)])
        )

    async def token(self, request: Request) -> Response:
        asked = (request.query_params.get("service"), request.query_params.get("scope"))
        assert asked == ("registry.test", "repository:library/node:pull")
        return JSONResponse({"token": "t"})

    async def manifest(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer t":
            scope = 'service="registry.test",scope="repository:library/node:pull"'
            return Response(
                status_code=401,
                headers={"WWW-Authenticate": f'Bearer realm="{self.server.url}/token",{scope}'},
            )
        if request.method != "HEAD" or request.path_params["rest"] != "library/node/manifests/22-slim":
            return Response(status_code=404)
        self.accepted = request.headers["accept"]
        return Response(headers={"Docker-Content-Digest": self.digest} if self.digest else {})


@pytest.fixture
def registry() -> Iterator[Registry]:
    running = Registry()
    yield running
    running.server.stop()


def test_every_base_but_one_has_a_digest_and_the_same_one_everywhere() -> None:
    found: dict[str, set[str | None]] = {}
    for file in FILES:
        for image, digest in bases((ROOT / file).read_text()).items():
            found.setdefault(image, set()).add(digest)
    assert {image for image, digests in found.items() if None in digests} <= WITHOUT
    assert {image: digests for image, digests in found.items() if len(digests) > 1} == {}


def test_every_dockerfile_starts_from_bases_that_are_looked_at() -> None:
    for path in files():
        if path.rpartition("/")[2] != "Dockerfile":
            continue
        assert path in FILES
        text = (ROOT / path).read_text()
        stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE))
        named = {f"${{{name}}}" for name in re.findall(r"^ARG (\w+)=\S+:", text, re.MULTILINE)}
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= stages | named, path


def test_digests_are_written_beside_the_tags_and_old_ones_replaced() -> None:
    digests = {"node:22-slim": "sha256:1", "nvidia/cuda:13": "sha256:2", "ubuntu:24.04": "sha256:3"}
    assert pin(TEXT, digests).splitlines() == [
        "ARG NODE_IMAGE=node:22-slim@sha256:1",
        "image: ${CUDA_IMAGE:-nvidia/cuda:13@sha256:2}",
        "CUDA_IMAGE: ubuntu:24.04@sha256:3",
    ]


def test_a_registry_gives_a_digest_to_who_asks_for_a_token_first(registry: Registry) -> None:
    assert digest_of("node:22-slim", registry.server.url) == DIGEST
    assert "image.index" in registry.accepted and "manifest.list" in registry.accepted


@pytest.mark.parametrize("digest", ["", "sha256:short"])
def test_what_is_no_digest_is_not_written(registry: Registry, digest: str) -> None:
    registry.digest = digest
    with pytest.raises(RegistryError, match="node:22-slim: the registry returned no digest"):
        digest_of("node:22-slim", registry.server.url)


def test_a_tag_that_is_not_there_and_a_registry_that_is_not_are_named(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"node:23: .*404"):
        digest_of("node:23", registry.server.url)
    registry.server.stop()
    with pytest.raises(RegistryError, match="node:22-slim: "):
        digest_of("node:22-slim", registry.server.url)


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("node:22", ("registry-1.docker.io", "library/node", "22")),
        ("nvidia/cuda:13", ("registry-1.docker.io", "nvidia/cuda", "13")),
        ("mcr.microsoft.com/a/b:4", ("mcr.microsoft.com", "a/b", "4")),
    ],
)
def test_a_name_is_read_as_docker_reads_it(image: str, parts: tuple[str, str, str]) -> None:
    assert pin_images._parts(image) == parts


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, tmp_path / file)
    (tmp_path / "Dockerfile").write_text(TEXT)
    monkeypatch.setattr(pin_images, "ROOT", tmp_path)
    for name in ("CUDA_IMAGE", "FUNCTIONS_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_make_pin_writes_what_the_registries_say(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--check"]) == 1
    monkeypatch.setattr(pin_images, "digest_of", lambda image: DIGEST)
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert f"node:22-slim@{DIGEST}" in (project / "Dockerfile").read_text()


def test_nothing_is_written_where_one_registry_fails(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(image: str) -> str:
        if image == "nvidia/cuda:13":
            raise RegistryError(f"{image}: no route")
        return DIGEST

    monkeypatch.setattr(pin_images, "digest_of", fails)
    assert main([]) == 1
    assert (project / "Dockerfile").read_text() == TEXT


def test_every_base_of_the_project_has_a_digest() -> None:
    assert unpinned(ROOT, {}) == []


def test_a_base_of_the_environment_is_looked_at_too() -> None:
    told = unpinned(ROOT, {"FUNCTIONS_IMAGE": "mirror.example/functions:4", "CUDA_IMAGE": f"x:1@{DIGEST}"})
    assert "FUNCTIONS_IMAGE: mirror.example/functions:4" in told
    assert not [line for line in told if line.startswith("CUDA_IMAGE")]


def test_production_builds_nothing_from_a_base_without_a_digest(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "programs")
    done = programs.run(
        "predeploy", PINNED_IMAGES="required", CUDA_IMAGE="nvidia/cuda:13", IMAGE_BUILDS="registry"
    )
    assert done.returncode == 1
    assert "no digest: CUDA_IMAGE: nvidia/cuda:13" in done.stderr and "make pin" in done.stderr
    assert programs.calls("") == []
    assert "PINNED_IMAGES=required\n" in (ROOT / "infra/environments/prod.env").read_text()
