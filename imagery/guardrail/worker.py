"""The process that touches strangers' bytes: ``python -m imagery.guardrail.worker FD``.

It has no secrets, no files to write and a limit on its memory; its host kills it when it takes too long.
It reads orders from the socket ``FD`` until the host is gone.
"""

from __future__ import annotations

import io
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

from PIL import Image

from imagery.bounded_picture import DECODE_ERRORS, open_picture
from imagery.contracts import CheckResult
from imagery.guardrail import wire
from imagery.guardrail.checks import PHASES, not_measured
from imagery.guardrail.limits import Limits
from imagery.guardrail.pictures import FORMATS
from imagery.guardrail.subject import Subject

_MB = 1024 * 1024
_OPEN_FILES = 128
_CPU_MARGIN_S = 5
_FAST_COMPRESSION = 1
_PREVIEW_PX = 1024
_THUMBNAIL_QUALITY = 80
Answer = tuple[dict[str, Any], list[bytes]]


def serve(connection: socket.socket) -> None:
    """Do orders until the host is gone."""
    _shut_off()
    wire.send(connection, {"ready": True})
    while True:
        try:
            order, blobs = wire.receive(connection)
        except wire.WireError:
            return
        _limit(order["memory_mb"], order["timeout_s"])
        answer, results = _do(order, blobs[0])
        wire.send(connection, answer, *results)


def _do(order: dict[str, Any], data: bytes) -> Answer:
    try:
        return _ORDERS[order["order"]](order, data)
    except MemoryError:
        return {"error": "out_of_memory"}, []


def _examine(order: dict[str, Any], data: bytes) -> Answer:
    subject = Subject(data, order["declared_type"], Limits.from_json(order["limits"]))
    results, code = run_checks(subject)
    answer: dict[str, Any] = {"checks": [result.to_json() for result in results]}
    if any(result.name == "format" and result.passed for result in results):
        header = subject.header
        answer |= {"content_type": header.content_type, "width": header.width, "height": header.height}
    admitted = code is None
    blobs = [_png(subject.picture)] if admitted and order["picture"] else [b""]
    blobs.append(_preview(subject.small) if admitted and order["preview"] else b"")
    return answer, blobs


def run_checks(subject: Subject) -> tuple[list[CheckResult], str | None]:
    """Every check's result in order, and the code of the first refusal."""
    results: list[CheckResult] = []
    code: str | None = None
    for phase in PHASES:
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
        with open_picture(data, FORMATS, order["max_megapixels"]) as picture:
            picture.draft("RGB", (width, width))
            height = max(1, round(picture.height * width / picture.width))
            picture.thumbnail((width, height))
            small = picture if picture.mode in {"RGB", "RGBA"} else picture.convert("RGBA")
            small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY, exif=b"", icc_profile=None, xmp=b"")
    except DECODE_ERRORS:
        return {"error": "no_thumbnail"}, []
    return {}, [buffer.getvalue()]


_ORDERS: dict[str, Callable[[dict[str, Any], bytes], Answer]] = {
    "examine": _examine,
    "thumbnail": _thumbnail,
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


def _shut_off() -> None:
    """Nothing to write, few files to open, no core with a stranger's picture in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def _limit(memory_mb: int, timeout_s: float) -> None:
    """Memory for the next order, and processor time in case the host is gone and can't kill."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MB, most))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + timeout_s) + _CPU_MARGIN_S
    _, longest = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, longest))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
