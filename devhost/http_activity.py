"""The extension's built-in activity behind ``call_http``: one request, and whatever responds to it.

A 202 is the result, as in the cloud: the Python SDK does not ask for the polling of its Location.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

NAME = "BuiltIn::HttpActivity"
_SCHEMES = ("http://", "https://")
_LIMIT_S = 100.0
_MOST_BYTES = 16 * 1024 * 1024


def call(request_json: str) -> str:
    """Returns status, headers and content as JSON. Raises ``ValueError`` and ``OSError``."""
    given = json.loads(request_json)
    if not str(given["uri"]).lower().startswith(_SCHEMES):
        raise ValueError(f"call_http can't call {given['uri']}")
    content = given.get("content")
    data = None if content is None else str(content).encode()
    headers = {name: str(value) for name, value in (given.get("headers") or {}).items()}
    if data is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "text/plain"
    request = urllib.request.Request(given["uri"], data, headers, method=str(given["method"]))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as response:  # noqa: S310
            return _result(response.status, response.headers, response.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return _result(error.code, error.headers, error.read(_MOST_BYTES))


def _result(status: int, headers: Message, content: bytes) -> str:
    found: dict[str, Any] = {}
    for name, value in headers.items():
        found[name] = f"{found[name]},{value}" if name in found else value
    charset = headers.get_content_charset() or "utf-8"
    return json.dumps(
        {"statusCode": status, "headers": found, "content": content.decode(charset, errors="replace")}
    )
