"""The process that reads untrusted files: ``python -m imagery.guardrail.worker FD``.

It has no secrets and a limit on its memory, and its host kills it when it takes too long. Before it reads
the first file it loads all it needs and puts up its walls (``imagery.guardrail.walls``), so that a file that
takes control of it gets nowhere. It reads orders from the socket ``FD`` until the host is gone.
"""

from __future__ import annotations

import codecs
import io
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import c2pa
import numpy as np
from PIL import ExifTags, Image, ImageOps

from imagery.bounded_picture import DECODE_ERRORS, open_picture
from imagery.contracts import CheckResult
from imagery.guardrail import rlimits, wire
from imagery.guardrail.checks import OUTPUT_PHASES, PHASES, PictureCheck, not_measured
from imagery.guardrail.checks.credentials import trusting
from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.pictures import FORMATS, PictureError, cropped
from imagery.guardrail.subject import GuardrailSubject
from imagery.guardrail.walls import Walls, put_up_walls
from imagery.provenance.kept import archived, kept_statement
from imagery.provenance.reader import read

OUT_OF_MEMORY = "out_of_memory"
RAISED = "raised"
# of names in archives and texts in metadata
_CODECS = ("ascii", "cp437", "cp1252", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
_MAX_TRACEBACK = 4000
_FAST_COMPRESSION = 1
_THUMBNAIL_QUALITY = 80
# orientations of EXIF with width and height exchanged
_TURNED = {5, 6, 7, 8}
Answer = tuple[dict[str, Any], list[bytes]]
# the C2PA library reads through callbacks, whose memory is code: no more of it can be had behind the walls,
# and what this stream holds is never given back
_held_stream = c2pa.Stream(io.BytesIO())


def serve(connection: socket.socket) -> None:
    """Do orders until the host is gone. It is told of the walls before the first file is read."""
    rlimits.write_nothing()
    wire.send(connection, {"ready": True})
    standing: Walls | None = None
    while True:
        try:
            order, blobs = wire.receive(connection)
        except wire.WireError:
            return
        # behind the filter a process can't change its limits: the host does
        if standing is None or not standing.seccomp:
            rlimits.limit_own_order(order["memory_mb"], order["timeout_s"])
        if standing is None:
            _load_everything(order)
            standing = put_up_walls()
            wire.send(connection, {"walls": standing.to_json()})
        answer, results = _do(order, blobs[0])
        wire.send(connection, answer, *results)


def _do(order: dict[str, Any], data: bytes) -> Answer:
    try:
        return _ORDERS[order["order"]](order, data)
    except MemoryError:
        return {"error": OUT_OF_MEMORY}, []
    except Exception:
        return {"error": RAISED, "traceback": traceback.format_exc()[-_MAX_TRACEBACK:]}, []


def _examine(order: dict[str, Any], data: bytes) -> Answer:
    limits = PictureLimits.from_json(order["limits"])
    subject = GuardrailSubject(data, order["declared_type"], limits, order["anchors"])
    results, code = run_checks(subject)
    answer: dict[str, Any] = {"checks": [result.to_json() for result in results]}
    if any(result.name == "format" and result.passed for result in results):
        header = subject.header
        answer |= {"content_type": header.content_type, "width": header.width, "height": header.height}
    admitted = code is None
    if admitted:
        answer["scaled_from_mp"] = subject.scaled_from_mp
    blobs = [_png(subject.picture)] if admitted and order["picture"] else [b""]
    blobs.append(_preview(subject.small) if admitted and order["preview"] else b"")
    blobs.append(_statement(subject) if admitted and order["picture"] else b"")
    return answer, blobs


def _judge(order: dict[str, Any], data: bytes) -> Answer:
    subject = GuardrailSubject(data, None, PictureLimits.from_json(order["limits"]))
    results, code = run_checks(subject, OUTPUT_PHASES)
    preview = _preview(subject.small) if code is None and order["preview"] else b""
    return {"checks": [result.to_json() for result in results]}, [preview]


def run_checks(
    subject: GuardrailSubject, phases: Sequence[Sequence[PictureCheck]] = PHASES
) -> tuple[list[CheckResult], str | None]:
    """Every check's result in order, and the code of the first rejection."""
    results: list[CheckResult] = []
    code: str | None = None
    for phase in phases:
        if code is not None:
            results += [not_measured(check.name, f"not needed: {code}") for check in phase]
            continue
        found = [check.run(subject) for check in phase]
        code = next((result.code for result in found if result.passed is False), None)
        results += found
    return results, code


def _thumbnail(order: dict[str, Any], data: bytes) -> Answer:
    buffer = io.BytesIO()
    width = order["width"]
    try:
        with open_picture(data, FORMATS, order["max_megapixels"]) as whole:
            picture = cropped(whole, data)
            is_turned = picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
            share = width / (picture.height if is_turned else picture.width)
            box = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
            picture.draft("RGB", box)
            picture.thumbnail(box)
            ImageOps.exif_transpose(picture, in_place=True)
            small = picture if picture.mode in {"RGB", "RGBA"} else picture.convert("RGBA")
            small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY, exif=b"", icc_profile=None, xmp=b"")
    except (PictureError, *DECODE_ERRORS):
        return {"error": "no_thumbnail"}, []
    return {}, [buffer.getvalue()]


def _statement(subject: GuardrailSubject) -> bytes:
    kept = kept_statement(subject.data, subject.header.content_type, trusting(subject.anchors))
    return kept.model_dump_json().encode() if kept is not None else b""


def _credentials(order: dict[str, Any], data: bytes) -> Answer:
    """The file's Content Credentials. The summary has limits of its own, and may exceed a message's."""
    return {}, [read(data, trusting(order["anchors"])).model_dump_json().encode()]


_ORDERS: dict[str, Callable[[dict[str, Any], bytes], Answer]] = {
    "examine": _examine,
    "judge": _judge,
    "thumbnail": _thumbnail,
    "credentials": _credentials,
}


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=_FAST_COMPRESSION)
    return buffer.getvalue()


def _preview(small: Image.Image) -> bytes:
    """What a moderation service gets to see: a JPEG of the small copy."""
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _load_everything(order: dict[str, Any]) -> None:
    """Do every kind of work once, on a picture of our own: libraries and weights are loaded by it."""
    for codec in _CODECS:
        codecs.lookup(codec)
    rows, columns = np.mgrid[0:64, 0:64]
    pixels = np.stack([rows * 3, columns * 3, (rows ^ columns) * 4], axis=2).astype(np.uint8)
    limits = PictureLimits.from_json(order["limits"])
    own = Image.fromarray(pixels)
    for name in ("BMP", "TIFF", "AVIF", "WEBP", "JPEG", "PNG"):
        buffer = io.BytesIO()
        own.save(buffer, name)
        subject = GuardrailSubject(
            buffer.getvalue(), None, limits.model_copy(update={"allowed_formats": FORMATS})
        )
        run_checks(subject)
    _png(subject.picture)
    _preview(subject.small)
    _thumbnail({"width": 16, "max_megapixels": 1.0}, subject.data)
    _credentials({"anchors": ""}, subject.data)
    archived(subject.data, subject.header.content_type, trusting(""))
    # what a traceback needs is loaded by the first one
    _do({"order": "none"}, b"")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
