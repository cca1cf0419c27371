"""What the simulator sends: the usual answer, and those that the service was seen to give instead."""

from __future__ import annotations

import base64
import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PIL import Image
from starlette.responses import JSONResponse, Response

from local.nano_banana_order import PictureOrder
from local.nano_banana_signing import broken
from local.nano_banana_usage import usage

Json = dict[str, Any]
_SAID = "Here is the subject in the scene (simulated)."
_THOUGHT = "The subject comes first, then the place, then the light (simulated)."
_DESCRIBED = "I can only describe this scene, not draw it."
_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_RPC = "type.googleapis.com/google.rpc."


@dataclass(frozen=True)
class Drawn:
    """A picture of an order as PNG, before and after it was signed; ``sign`` does that with another one.

    ``sign`` takes bytes and content type and returns bytes.
    """

    plain: bytes
    signed: bytes
    sign: Callable[[bytes, str], bytes]


def usual(order: PictureOrder, picture: bytes) -> Json:
    """The documented answer: the thoughts and the text that were asked for, and the picture (PNG)."""
    parts = [{"text": _THOUGHT, "thought": True}] if order.with_thoughts else []
    parts += [{"text": _SAID}] if order.with_text else []
    return _answer(
        order, [_candidate(*parts, _inline(picture))], _SAID if order.with_text else "", pictures=1
    )


def refusal(order: PictureOrder, kind: str) -> Json:
    """Status 200, and no picture: one of ``REFUSALS``."""
    answer = _answer(order, [], _DESCRIBED if kind == "text_only" else "", pictures=0)
    return answer | REFUSALS[kind]


def _answer(order: PictureOrder, candidates: list[Json], said: str, *, pictures: int) -> Json:
    answer = {
        "candidates": candidates,
        "usageMetadata": usage(order, said, pictures=pictures),
        "modelVersion": order.model,
        "responseId": uuid.uuid4().hex,
    }
    return answer | ({"createTime": datetime.now(UTC).isoformat()} if order.is_vertex else {})


def error(status: int, name: str, message: str, *details: Json) -> Response:
    """Google's error object."""
    body: Json = {"code": status, "message": message, "status": name}
    if details:
        body["details"] = list(details)
    return JSONResponse({"error": body}, status)


def rate_limited(delay_s: float) -> Response:
    """429 of the minute, with the wait that is asked for."""
    info = {"@type": f"{_RPC}RetryInfo", "retryDelay": f"{delay_s:g}s"}
    return error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", _quota("Minute"), info)


def _candidate(*parts: Json) -> Json:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", "index": 0}


def _without_picture(reason: str, **candidate: Any) -> Json:
    return {"candidates": [{"finishReason": reason, "index": 0, **candidate}]}


# errors in place of a picture, of which none is billed
ERRORS: dict[str, Callable[[], Response]] = {
    "500": lambda: error(500, "INTERNAL", "An internal error has occurred. Please retry."),
    "502": lambda: error(502, "UNAVAILABLE", "Bad gateway."),
    "503": lambda: error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "504": lambda: error(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "proxy_502": lambda: Response(_PAGE, 502, media_type="text/html"),
    "429_without_wait": lambda: error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted."),
    "429_of_the_day": lambda: error(429, "RESOURCE_EXHAUSTED", "You exceeded your quota.", _quota("Day")),
    "dead_key": lambda: error(
        400,
        "INVALID_ARGUMENT",
        "API key expired. Please renew the API key.",
        {"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
    ),
    "suspended": lambda: error(403, "PERMISSION_DENIED", "Permission denied: Consumer has been suspended."),
    "unauthenticated": lambda: error(
        401, "UNAUTHENTICATED", "Request had invalid authentication credentials."
    ),
    "model_gone": lambda: error(404, "NOT_FOUND", "The model is not found for API version v1beta."),
}

# what an answer without a picture holds; none is billed
REFUSALS: dict[str, Json] = {
    "safety": _without_picture("IMAGE_SAFETY", finishMessage="Unable to show the generated image."),
    "model_armor": _without_picture("MODEL_ARMOR"),
    "no_image": _without_picture("NO_IMAGE"),
    "image_other": _without_picture("IMAGE_OTHER", content={"role": "model"}),
    "blocked": {"candidates": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
    "text_only": {"candidates": [_candidate({"text": _DESCRIBED})]},
}


def _drafts(answer: Json, drawn: Drawn) -> None:
    draft = _smaller(drawn.plain)
    _parts(answer)[:] = [_inline(draft), {"text": _SAID}, _inline(draft, thought=True), _inline(drawn.signed)]


def _thought_only(answer: Json, _: Drawn) -> None:
    for part in _parts(answer):
        part["thought"] = True


def _second_candidate(answer: Json, _: Drawn) -> None:
    answer["candidates"].insert(0, {"finishReason": "STOP", "index": 0, "content": {"role": "model"}})


def _url_safe(answer: Json, drawn: Drawn) -> None:
    _parts(answer)[-1]["inlineData"]["data"] = base64.urlsafe_b64encode(drawn.signed).decode().rstrip("=")


def _in_lines(answer: Json, drawn: Drawn) -> None:
    _parts(answer)[-1]["inlineData"]["data"] = base64.encodebytes(drawn.signed).decode()


def _snake_case(answer: Json, drawn: Drawn) -> None:
    inline = _inline(drawn.signed)["inlineData"]
    _parts(answer)[-1] = {"inline_data": {"mime_type": inline["mimeType"], "data": inline["data"]}}


def _jpeg(answer: Json, drawn: Drawn) -> None:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(drawn.plain)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=92)
    # declared as what it is not
    _parts(answer)[-1] = _inline(drawn.sign(buffer.getvalue(), "image/jpeg"))


def _null_feedback(answer: Json, _: Drawn) -> None:
    answer["promptFeedback"] = None


def _unsigned(answer: Json, drawn: Drawn) -> None:
    _parts(answer)[-1] = _inline(drawn.plain)


def _broken_signature(answer: Json, drawn: Drawn) -> None:
    _parts(answer)[-1] = _inline(broken(drawn.signed))


# the usual answer, changed: the picture is there, and billed
BILLED: dict[str, Callable[[Json, Drawn], None]] = {
    "drafts": _drafts,
    "thought_only": _thought_only,
    "second_candidate": _second_candidate,
    "url_safe": _url_safe,
    "in_lines": _in_lines,
    "snake_case": _snake_case,
    "jpeg": _jpeg,
    "null_feedback": _null_feedback,
    "unsigned": _unsigned,
    "broken_signature": _broken_signature,
}

# the usual answer with another picture than the usual one, billed as what it is
OTHER_PICTURES = ("smaller_size",)


def _quota(period: str) -> Json:
    quota = f"GenerateRequestsPer{period}PerProjectPerModel"
    return {"@type": f"{_RPC}QuotaFailure", "violations": [{"quotaId": quota}]}


def _inline(picture: bytes, **more: Any) -> Json:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(picture).decode()}, **more}


def _parts(answer: Json) -> list[Json]:
    parts: list[Json] = answer["candidates"][0]["content"]["parts"]
    return parts


def _smaller(picture: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.resize((image.width // 2, image.height // 2)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
