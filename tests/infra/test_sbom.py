"""The bills of materials say what the locks put into an image."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra import sbom
from infra.sbom import IMAGES, bill, dashboard, installed


def components(text: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(text)["components"]}


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_names_every_package_of_the_image_and_what_needs_it(image: str) -> None:
    text = bill(image)
    told = json.loads(text)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    pins = installed(image)
    assert {name: each["version"] for name, each in components(text).items()} == {
        pin.name: pin.version for pin in pins
    }
    assert all(each["externalReferences"][0]["hashes"] for each in told["components"])
    needs = {each["ref"]: each.get("dependsOn", []) for each in told["dependencies"]}
    reached: set[str] = set()
    waiting = [told["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    assert {each["bom-ref"] for each in told["components"]} <= reached, "a package that nothing needs"


@pytest.mark.slow
def test_a_bill_has_the_packages_of_its_python_and_its_hardware() -> None:
    functions, gpu = components(bill("functions")), components(bill("gpu"))
    assert functions["azure-functions"]["version"].startswith("1."), "2.x is for Python 3.13"
    assert functions["httpx"]["purl"] == f"pkg:pypi/httpx@{functions['httpx']['version']}"
    assert {"torch", "onnxruntime-gpu", "basicsr", "nvidia-cudnn-cu13"} <= gpu.keys()
    assert not {"onnxruntime", "cython", "wheel", "colorama"} & gpu.keys()


def test_the_bill_of_the_dashboard_has_what_the_browser_gets() -> None:
    found = components(dashboard())
    assert "react" in found and "vite" not in found
    (file,) = found["react"]["externalReferences"]
    assert file["hashes"][0]["alg"] == "SHA-512"


def test_what_does_not_follow_the_schema_is_no_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def __init__(self, _bom: object) -> None:
            pass

        def output_as_string(self, indent: int) -> str:
            return json.dumps(
                {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{}]}, indent=indent
            )

    monkeypatch.setattr(sbom, "JsonV1Dot6", Wrong)
    with pytest.raises(sbom.InvalidBomError):
        bill("simulator")
