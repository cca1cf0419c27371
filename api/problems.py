"""The errors of a route as OpenAPI shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

PROBLEM_JSON = "application/problem+json"
Responses = dict[int | str, dict[str, Any]]
BINARY = {"type": "string", "format": "binary"}
PROBLEM_REF = "#/components/schemas/Problem"
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}}
STARTED = {
    "Location": {"required": True, "schema": {"type": "string", "format": "uri-reference"}},
    **RETRY_AFTER,
}
# a price that is too high says no time
_SAYS_WHEN = {402: {"Retry-After": RETRY_AFTER["Retry-After"] | {"required": False}}, 429: RETRY_AFTER}
_MEANINGS = {
    400: "The body can't be parsed.",
    401: "The API key is missing or not valid.",
    402: "The money of this day is used up, or the price is above `max_usd`.",
    403: "The caller may not do this, or the request came from a page of another site.",
    404: "There is no such thing, or the caller may not see it.",
    409: "The request contradicts the state of the job or batch.",
    410: "The pictures were deleted because of their age.",
    411: "The body has no `Content-Length`; chunked bodies are not read.",
    413: "The body or the file is too large.",
    415: "The media type is not accepted.",
    422: "The request is not valid; `errors` lists what is wrong.",
    429: "A quota is used up; `Retry-After` gives the seconds to wait.",
    500: "An unforeseen error of the server.",
    503: "The database, the storage or the guardrail is not available. Try again in a moment.",
}


class ProblemEntry(BaseModel):
    """One thing that is wrong: a field of the request, a check of the guardrail, or an item of a batch."""

    message: str
    field: str | None = Field(default=None, description="Of the request.")
    name: str | None = Field(default=None, description="Of the check.")
    measured: str | None = None
    limit: str | None = None
    passed: bool | None = None
    index: int | None = Field(default=None, description="Of the item.")
    blob: str | None = Field(default=None, description="Of the item.")
    code: str | None = None


def problems(*statuses: int) -> Responses:
    """The ``responses`` of a route that returns a problem (RFC 9457) with these statuses."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": PROBLEM_REF}}}
    headers = {"headers": _SAYS_WHEN[status]} if status in _SAYS_WHEN else {}
    return {"description": _MEANINGS[status], "content": content, **headers}
