"""The error answers as OpenAPI shows them."""

from __future__ import annotations

from typing import Any

from api.errors import PROBLEM_JSON
from imagery.contracts import Problem

_STATUSES = (400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 503)

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "Problem (RFC 9457)",
        "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema()}},
    }
    for status in _STATUSES
}
