"""The versions of Python that are promised are those that are tested."""

from __future__ import annotations

import re
import tomllib

import yaml
from packaging.specifiers import SpecifierSet

from local import doctor
from tests.docs.tree import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_RANGE = SpecifierSet(_PROJECT["requires-python"])
PROMISED = [f"3.{minor}" for minor in range(40) if f"3.{minor}.0" in _RANGE]


def test_every_promised_version_is_tested() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["pythons"]["strategy"]["matrix"]["python"] == PROMISED
    others = re.search(r"^for version in (.+); do$", (ROOT / ".ci/run").read_text(), re.M)
    assert others is not None
    # the whole suite runs on the oldest one, which Azure runs as well
    assert others[1].split() == PROMISED[1:]


def test_a_person_is_told_of_the_same_ones() -> None:
    told = f"Python {PROMISED[0]} to {PROMISED[-1]}"
    for page in ("README.md", "Makefile"):
        assert told in (ROOT / page).read_text(), page
    assert [f"{major}.{minor}" for major, minor in (doctor._OLDEST, doctor._NEWEST)] == [
        PROMISED[0],
        PROMISED[-1],
    ]


def test_azure_and_the_images_run_the_oldest_one() -> None:
    assert f"version: '{PROMISED[0]}'" in (ROOT / "infra/modules/function-app.bicep").read_text()
    for image in ("Dockerfile", "gpu_container/Dockerfile"):
        named = re.findall(r"python:(?:4-python)?([\d.]+)", (ROOT / image).read_text())
        assert named and set(named) == {PROMISED[0]}
