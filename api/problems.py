"""The error answers as OpenAPI shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from api.errors import PROBLEM_JSON
from imagery.contracts import Problem

_STATUSES = (400, 401, 402, 403, 404, 409, 410, 413, 415, 422, 429, 500, 503)

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "Problem (RFC 9457)",
        "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema()}},
    }
    for status in _STATUSES
}


def inlined_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of ``model`` with every definition in its place, as a body given by hand needs it."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(each) for each in node]
        if not isinstance(node, dict):
            return node
        merged = {**definitions.get(str(node.get("$ref", "")).rsplit("/", 1)[-1], {}), **node}
        merged.pop("$ref", None)
        return {name: inline(value) for name, value in merged.items()}

    inlined: dict[str, Any] = inline(schema)
    return inlined
