"""Answers that a client may keep: while nothing changed, whoever names the tag gets 304 and no body."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header, Response
from pydantic import BaseModel

from api.problems import Responses

IfNoneMatch = Annotated[
    str | None,
    Header(max_length=1000, description="The `ETag` of an earlier answer: 304 while it is still the same."),
]
TAGGED: Responses = {
    200: {"headers": {"ETag": {"required": True, "schema": {"type": "string"}}}},
    304: {"description": "Nothing changed since the answer with this `ETag`."},
}
# weak: the same content may be compressed on its way
_WEAK = "W/"


def tagged(content: BaseModel, known: str | None) -> Response:
    """The content with its tag, or 304 without a body if ``known`` (``If-None-Match``) names that tag."""
    body = content.model_dump_json().encode()
    tag = f'{_WEAK}"{hashlib.sha256(body).hexdigest()[:32]}"'
    # a browser keeps it, asks each time, and a proxy keeps nothing
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    names = {each.strip().removeprefix(_WEAK) for each in (known or "").split(",")}
    if tag.removeprefix(_WEAK) in names or names == {"*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
