"""Which files a submit means, and the key that makes repeating it harmless."""

from __future__ import annotations

import glob
import hashlib
import json
from pathlib import Path

from imagery_client.errors import ClientError, ExitCode

SUFFIXES = frozenset({".avif", ".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def find_photos(arguments: list[str], most: int) -> list[Path]:
    """The files as named, the pictures in each folder, the matches of each pattern; none twice.

    Raises ``ClientError`` if an argument matches nothing, or all of them more than ``most`` files.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        for path in _files_of(argument):
            found.setdefault(path.resolve(), path)
    if len(found) > most:
        detail = f"{len(found)} photos, the limit is {most}."
        raise ClientError("Too many photos", detail, "Submit fewer, or raise --limit.")
    return list(found.values())


def _files_of(argument: str) -> list[Path]:
    path = Path(argument).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        if not inside:
            way_out = f"In a folder, files with these suffixes are pictures: {' '.join(sorted(SUFFIXES))}."
            raise ClientError("No photos", f"The folder {argument} holds no pictures.", way_out)
        return inside
    matches = sorted(Path(each) for each in glob.glob(str(path), recursive=True))  # noqa: PTH207
    files = [each for each in matches if each.is_file()]
    if not files:
        raise ClientError("No such file", f"{argument} is not a file or a folder, and no file matches it.")
    return files


def content_hash(photo: Path) -> str:
    """SHA-256 of the file. Raises ``ClientError``."""
    try:
        with photo.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ClientError("Not readable", f"{photo}: {error.strerror}", exit_code=ExitCode.FAILED) from None


def idempotency_key(content: str, fields: dict[str, str]) -> str:
    """The same photo with the same options has the same key, on any machine and day."""
    text = json.dumps([content, fields], sort_keys=True)
    return f"cli-{hashlib.sha256(text.encode()).hexdigest()[:48]}"
