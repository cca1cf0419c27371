"""``make pin``: writes the digests of the base images beside their tags, wherever a tag is named.

Asks the registries, without Docker and with the standard library alone: it also runs where only azd does.
``--check`` asks nobody and names the bases without a digest; the deployment of prod.env fails on them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = (
    "Dockerfile",
    "gpu_container/Dockerfile",
    "compose.yaml",
    ".github/workflows/ci.yml",
    "infra/environments/dev.env",
    "infra/environments/prod.env",
)
# what azd's environment may put in place of a Dockerfile's own
_OVERRIDES = ("CUDA_IMAGE", "FUNCTIONS_IMAGE")
_NAMED = re.compile(
    r"(?P<argument>(?:CUDA|FUNCTIONS|NODE|PYTHON)_IMAGE(?:=|: |:-))"
    r"(?P<image>[a-z0-9][\w./-]*:[A-Za-z0-9][\w.-]*)(?P<digest>@sha256:[0-9a-f]{64})?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# an image for several architectures, or for one
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_LIMIT_S = 30


class RegistryError(Exception):
    """A registry did not give the digest of an image; the message says why."""


def bases(text: str) -> dict[str, str | None]:
    """The base images that a file names, ``name:tag``, with their digests."""
    return {
        match["image"]: (match["digest"] or "").removeprefix("@") or None for match in _NAMED.finditer(text)
    }


def unpinned(root: Path, environment: Mapping[str, str]) -> list[str]:
    """One line for each base image without a digest."""
    lines = []
    for file in FILES:
        lines += [
            f"{file}: {image}" for image, digest in bases((root / file).read_text()).items() if not digest
        ]
    named = {name: environment.get(name, "") for name in _OVERRIDES}
    return lines + [f"{name}: {image}" for name, image in named.items() if image and "@sha256:" not in image]


def pin(text: str, digests: Mapping[str, str]) -> str:
    """The text of a file with these digests, by ``name:tag``, beside the tags."""
    return _NAMED.sub(lambda found: f"{found['argument']}{found['image']}@{digests[found['image']]}", text)


def digest_of(image: str, registry: str = "") -> str:
    """The digest of ``name:tag`` today. ``registry``: its address, by default that of its name.

    Raises ``RegistryError``.
    """
    host, repository, tag = _parts(image)
    url = f"{registry or f'https://{host}'}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ", ".join(_KINDS)}
    try:
        try:
            found = _head(url, headers)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            headers["Authorization"] = f"Bearer {_token(error.headers.get('WWW-Authenticate', ''))}"
            found = _head(url, headers)
    except (OSError, ValueError, KeyError) as error:
        raise RegistryError(f"{image}: {error}") from error
    digest = found.get("Docker-Content-Digest", "")
    if not _DIGEST.fullmatch(digest):
        raise RegistryError(f"{image}: the registry returned no digest")
    return digest


def _parts(image: str) -> tuple[str, str, str]:
    """Host, repository and tag of ``name:tag``, as Docker reads a name."""
    name, _, tag = image.rpartition(":")
    first, _, rest = name.partition("/")
    if rest and "." in first:
        return first, rest, tag
    return "registry-1.docker.io", name if rest else f"library/{name}", tag


def _head(url: str, headers: dict[str, str]) -> Message:
    request = urllib.request.Request(url, headers=headers, method="HEAD")  # noqa: S310
    with urllib.request.urlopen(request, timeout=_LIMIT_S) as response:  # noqa: S310
        return Message() if response.headers is None else response.headers


def _token(challenge: str) -> str:
    """A token for everybody, from where the registry says."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urllib.parse.urlencode({name: asked[name] for name in ("service", "scope") if name in asked})
    with urllib.request.urlopen(f"{asked['realm']}?{query}", timeout=_LIMIT_S) as response:  # noqa: S310
        body = json.load(response)
    return str(body.get("token") or body["access_token"])


def main(arguments: list[str]) -> int:
    """Pin or check. Returns 1 if a base has no digest, or a registry gave none."""
    parser = argparse.ArgumentParser(prog="python -m infra.pin_images", description=__doc__)
    parser.add_argument("--check", action="store_true", help="name the bases without a digest, ask nobody")
    given = parser.parse_args(arguments)
    if given.check:
        lines = unpinned(ROOT, os.environ)
        sys.stderr.writelines(f"no digest: {line}\n" for line in lines)
        return int(bool(lines))
    texts = {file: (ROOT / file).read_text() for file in FILES}
    try:
        digests = {image: digest_of(image) for text in texts.values() for image in bases(text)}
    except RegistryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for file, text in texts.items():
        (ROOT / file).write_text(pin(text, digests))
    sys.stdout.writelines(f"{image}@{digest}\n" for image, digest in digests.items())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
