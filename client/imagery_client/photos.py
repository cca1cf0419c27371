"""Which files a submit means, and the key that makes repeating it harmless."""

from __future__ import annotations

import glob
import hashlib
import json
from pathlib import Path

from imagery_client.errors import CliError, Exit

SUFFIXES = frozenset({".avif", ".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def photos(arguments: list[str], most: int) -> list[Path]:
    """The files: as named, of each folder its pictures, of each pattern what it matches; none twice.

    Raises ``CliError`` where an argument stands for nothing, or all for more than ``most``.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        for path in _meant(argument):
            found.setdefault(path.resolve(), path)
    if len(found) > most:
        detail = f"{len(found)} photos, the limit is {most}."
        raise CliError("Too many photos", detail, "Submit a part, or raise IMAGERY_MAX_PHOTOS.")
    return list(found.values())


def _meant(argument: str) -> list[Path]:
    path = Path(argument).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        if not inside:
            raise CliError("No photos", f"the folder {argument} holds no pictures.", _kinds())
        return inside
    matches = sorted(Path(each) for each in glob.glob(str(path), recursive=True))  # noqa: PTH207
    files = [each for each in matches if each.is_file()]
    if not files:
        raise CliError("No such file", f"{argument} is no file, no folder and matches none.")
    return files


def content_hash(photo: Path) -> str:
    """SHA-256 of the file. Raises ``CliError``."""
    try:
        with photo.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CliError("Not readable", f"{photo}: {error.strerror}", exit_code=Exit.FAILED) from None


def idempotency_key(content: str, fields: dict[str, str]) -> str:
    """The same photo with the same options has the same key, on any machine and day."""
    text = json.dumps([content, fields], sort_keys=True)
    return f"cli-{hashlib.sha256(text.encode()).hexdigest()[:48]}"


def _kinds() -> str:
    return f"Of a folder these are taken: {' '.join(sorted(SUFFIXES))}."
