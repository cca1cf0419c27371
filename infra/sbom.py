"""``make sbom``: what each image and the dashboard consist of, as CycloneDX 1.6 in ``build/sbom``.

Written from the locks, so without an environment and without the network: every package with its version,
what it needs and the hashes of its files, for the Python of the images on Linux x86_64.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.markers import Marker

from imagery import __version__
from infra.locks import ROOT, Pin, read_pins

FOLDER = ROOT / "build/sbom"
# by the name of the image; what stands in a later file replaces what stands in an earlier one
IMAGES: dict[str, tuple[str, ...]] = {
    "functions": ("requirements.txt",),
    "gpu": (
        "gpu_container/requirements.txt",
        "gpu_container/requirements-sources.txt",
        "gpu_container/requirements-cuda.txt",
    ),
    "simulator": ("local/requirements-simulator.txt",),
}
# the CUDA image replaces the first with onnxruntime-gpu, and removes the others after the build
_NOT_IN_THE_IMAGE = {"gpu": {"onnxruntime", "cython", "wheel"}}
_TARGET = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}


class InvalidBomError(Exception):
    """The bill of materials does not follow its schema."""


def installed(image: str) -> list[Pin]:
    """The packages of an image, sorted by name."""
    pins = {pin.name: pin for file in IMAGES[image] for pin in read_pins(ROOT / file) if _is_wanted(pin)}
    left_out = _NOT_IN_THE_IMAGE.get(image, set())
    return [pin for name, pin in sorted(pins.items()) if name not in left_out]


def _is_wanted(pin: Pin) -> bool:
    return not pin.marker or Marker(pin.marker).evaluate(_TARGET)


def bill(image: str) -> str:
    """The bill of materials of an image, as JSON. Raises ``InvalidBomError``."""
    pins = installed(image)
    components = {pin.name: _component(pin) for pin in pins}
    bom = _bom(image, ComponentType.CONTAINER, components.values())
    for pin in pins:
        needed = [components[other.name] for other in pins if pin.name in other.needed_by]
        bom.register_dependency(components[pin.name], needed)
    sources = [file.replace(".txt", ".in") for file in IMAGES[image]]
    asked_for = {pin.name for source in sources for pin in read_pins(ROOT / source)}
    roots = [pin.name for pin in pins if pin.name in asked_for or not pin.needed_by & components.keys()]
    return _text(bom, [components[name] for name in roots])


def _component(pin: Pin) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in sorted(pin.hashes)]
    page = f"https://pypi.org/project/{pin.name}/{pin.version}/#files"
    return _library(PackageURL("pypi", name=pin.name, version=pin.version), page, hashes)


def dashboard() -> str:
    """The bill of materials of what the browser gets, as JSON. Raises ``InvalidBomError``."""
    lock = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    components = []
    for path, package in sorted(lock.items()):
        if path and not package.get("dev"):
            namespace, _, name = path.rpartition("node_modules/")[2].rpartition("/")
            url = PackageURL("npm", namespace or None, name, package["version"])
            digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
            hashes = [HashType(alg=HashAlgorithm.SHA_512, content=digest)]
            page = f"https://www.npmjs.com/package/{namespace}/{name}/v/{package['version']}"
            components.append(_library(url, page, hashes))
    return _text(_bom("dashboard", ComponentType.APPLICATION, components), components)


def _bom(name: str, kind: ComponentType, components: Iterable[Component]) -> Bom:
    bom = Bom(components=components)
    bom.metadata.component = Component(name=f"imagery-guardrail/{name}", version=__version__, type=kind)
    return bom


def _library(url: PackageURL, page: str, hashes: list[HashType]) -> Component:
    """One package; its hashes are those of its files, of which one is installed."""
    files = ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(page), hashes=hashes)
    return Component(
        name=url.name,
        group=url.namespace,
        version=url.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        external_references=[files],
    )


def _text(bom: Bom, asked_for: Iterable[Component]) -> str:
    """JSON of the bill, valid. Raises ``InvalidBomError``."""
    if bom.metadata.component is not None:
        bom.register_dependency(bom.metadata.component, asked_for)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise InvalidBomError(str(error))
    return text


def main() -> int:
    """Write one file for each image and one for the dashboard."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in (*((image, bill(image)) for image in IMAGES), ("dashboard", dashboard())):
        path = FOLDER / f"{name}.cdx.json"
        path.write_text(text)
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(json.loads(text)['components'])} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
