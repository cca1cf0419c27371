"""What the simulator sends: the usual answer, and those that the service was seen to give instead."""

from __future__ import annotations

import base64
import io
import uuid
from collections.abc import Callable
from typing import Any

from PIL import Image
from starlette.responses import JSONResponse, Response

Json = dict[str, Any]
_SAID = "Here is the subject in the scene (simulated)."
_TOKENS = 1290
_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_RPC = "type.googleapis.com/google.rpc."


def usual(model: str, picture: bytes) -> Json:
    """The documented answer: a text and the picture (PNG)."""
    return {
        "candidates": [_candidate({"text": _SAID}, _inline(picture))],
        "usageMetadata": {"candidatesTokenCount": _TOKENS, "totalTokenCount": _TOKENS},
        "modelVersion": model,
        "responseId": uuid.uuid4().hex,
    }


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


def without_picture(reason: str, **candidate: Any) -> Response:
    """Status 200, and no picture."""
    return JSONResponse({"candidates": [{"finishReason": reason, "index": 0, **candidate}]})


# answers in place of a picture, of which none is billed
UNBILLED: dict[str, Callable[[], Response]] = {
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
    "model_gone": lambda: error(404, "NOT_FOUND", "The model is not found for API version v1beta."),
    "safety": lambda: without_picture("IMAGE_SAFETY", finishMessage="Unable to show the generated image."),
    "model_armor": lambda: without_picture("MODEL_ARMOR"),
    "no_image": lambda: without_picture("NO_IMAGE"),
    "image_other": lambda: without_picture("IMAGE_OTHER", content={"role": "model"}),
    "blocked": lambda: JSONResponse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
    "text_only": lambda: JSONResponse(
        {"candidates": [_candidate({"text": "I can only describe this scene, not draw it."})]}
    ),
}


def _drafts(answer: Json, picture: bytes) -> None:
    draft = _smaller(picture)
    _parts(answer)[:] = [_inline(draft), {"text": _SAID}, _inline(draft, thought=True), _inline(picture)]


def _thought_only(answer: Json, _: bytes) -> None:
    for part in _parts(answer):
        part["thought"] = True


def _second_candidate(answer: Json, _: bytes) -> None:
    answer["candidates"].insert(0, {"finishReason": "STOP", "index": 0, "content": {"role": "model"}})


def _url_safe(answer: Json, picture: bytes) -> None:
    _parts(answer)[-1]["inlineData"]["data"] = base64.urlsafe_b64encode(picture).decode().rstrip("=")


def _in_lines(answer: Json, picture: bytes) -> None:
    _parts(answer)[-1]["inlineData"]["data"] = base64.encodebytes(picture).decode()


def _snake_case(answer: Json, picture: bytes) -> None:
    inline = _inline(picture)["inlineData"]
    _parts(answer)[-1] = {"inline_data": {"mime_type": inline["mimeType"], "data": inline["data"]}}


def _jpeg(answer: Json, picture: bytes) -> None:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=92)
    # declared as what it is not
    _parts(answer)[-1] = _inline(buffer.getvalue())


def _null_feedback(answer: Json, _: bytes) -> None:
    answer["promptFeedback"] = None


# the usual answer, changed: the picture is there, and billed
BILLED: dict[str, Callable[[Json, bytes], None]] = {
    "drafts": _drafts,
    "thought_only": _thought_only,
    "second_candidate": _second_candidate,
    "url_safe": _url_safe,
    "in_lines": _in_lines,
    "snake_case": _snake_case,
    "jpeg": _jpeg,
    "null_feedback": _null_feedback,
}


def _quota(period: str) -> Json:
    quota = f"GenerateRequestsPer{period}PerProjectPerModel"
    return {"@type": f"{_RPC}QuotaFailure", "violations": [{"quotaId": quota}]}


def _candidate(*parts: Json) -> Json:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", "index": 0}


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
