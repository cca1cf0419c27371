"""``/openapi.json``: the framework's description of the routes, made fit for generators of clients.

Each problem, enum and nullable field has one short form, operations are called by words, and nothing is
declared that no route returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.error_codes import ERROR_CODES
from api.intake import JobFromFile
from api.problems import BINARY, ProblemEntry
from imagery.contracts import Problem

Json = dict[str, Any]
_REF = "#/components/schemas/"
_FRAMEWORKS = {"HTTPValidationError", "ValidationError"}
_TAGS = [
    {"name": "jobs", "description": "One photo, from request to pictures."},
    {"name": "batches", "description": "Many uploaded blobs in one request."},
    {"name": "uploads", "description": "Links that let a browser write to the storage itself."},
    {"name": "guardrail", "description": "What is admitted, and the verdict without a job."},
    {"name": "provenance", "description": "What a file says of where it comes from."},
    {"name": "spend", "description": "What was paid, and what was not."},
    {"name": "users", "description": "Who is calling, and what the caller may still do."},
    {"name": "operations", "description": "Health, metrics, logs and circuit breakers."},
]


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: a verb and a noun."""
    return route.name


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` return this description."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def describe(app: FastAPI) -> Json:
    """The OpenAPI 3.1 document of ``app``."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=_TAGS,
        servers=[{"url": "/"}],
    )
    components = document["components"]["schemas"]
    for name in _FRAMEWORKS:
        components.pop(name, None)
    components["JobFromFile"] = _schema_of(JobFromFile, components)
    components["ProblemEntry"] = _without_null(_schema_of(ProblemEntry, components))
    components["Problem"] = _problem()
    components["ErrorCode"] = {
        "type": "string",
        "enum": sorted(ERROR_CODES),
        "description": "A stable word for what went wrong.",
    }
    for path in document["paths"].values():
        for operation in path.values():
            _finish_operation(operation, components)
            _name_form(operation, components)
    for schema in [*_schemas(components, is_map=True), *_schemas(document["paths"])]:
        _simplify(schema)
    document["components"]["schemas"] = dict(sorted(components.items()))
    return document


def _schema_of(model: type[BaseModel], components: Json) -> Json:
    schema = model.model_json_schema(ref_template=_REF + "{model}")
    for name, definition in schema.pop("$defs", {}).items():
        components.setdefault(name, definition)
    return schema


def _problem() -> Json:
    """Fields without a value are absent in a problem, never null."""
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["anyOf"][0]["items"] = {"$ref": _REF + ProblemEntry.__name__}
    return _without_null(schema)


def _without_null(model: Json) -> Json:
    for field in model["properties"].values():
        _drop_null(field)
    return model


def _finish_operation(operation: Json, components: Json) -> None:
    summary, _, rest = operation.pop("description", "").partition("\n")
    operation["summary"] = summary.strip()
    if rest.strip():
        operation["description"] = rest.strip()
    for parameter in operation.get("parameters", ()):
        # a query has no null: what is not given is left out
        _drop_null(parameter["schema"])
        parameter["schema"].pop("description", None)
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for response in responses.values():
        _describe_response(response, components)
    operation["responses"] = dict(sorted(responses.items()))


def _name_form(operation: Json, components: Json) -> None:
    """The framework calls the fields of a form ``Body_validate_image``; here it is ``ValidateImageForm``."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        name = media["schema"].get("$ref", "").removeprefix(_REF)
        if name.startswith("Body_"):
            words = operation["operationId"].split("_")
            form = "".join(word.title() for word in words) + "Form"
            components[form] = components.pop(name)
            media["schema"]["$ref"] = _REF + form


def _describe_response(response: Json, components: Json) -> None:
    """The framework says "Successful Response"; the schema knows better."""
    for media in response.get("content", {}).values():
        name = media.get("schema", {}).get("$ref", "").removeprefix(_REF)
        if response["description"] == "Successful Response" and name:
            response["description"] = components[name].get("description", name).split("\n")[0]


def _schemas(node: Any, *, is_map: bool = False) -> Iterator[Json]:
    """Every schema below ``node``, the innermost first; ``is_map``: the keys are names of properties."""
    if isinstance(node, list):
        for each in node:
            yield from _schemas(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _schemas(value, is_map=name in {"properties", "schemas"} and not is_map)
        if not is_map:
            yield node


def _simplify(schema: Json) -> None:
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if schema.pop("contentMediaType", None):
        schema.update(BINARY)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    code = schema.get("properties", {}).get("code")
    if code is not None:
        schema["properties"]["code"] = _error_code(code)
    if schema.get("default", "") is None:
        del schema["default"]
    if isinstance(schema.get("description"), str):
        schema["description"] = schema["description"].replace("``", "`")
    _join_null(schema)


def _error_code(code: Json) -> Json:
    reference = {"$ref": _REF + "ErrorCode"}
    if "anyOf" in code or "null" in code.get("type", ""):
        return {"anyOf": [reference, {"type": "null"}]}
    return reference


def _alternatives(schema: Json) -> tuple[list[Json], bool]:
    """The alternatives of ``anyOf`` without null, and whether null was one of them."""
    given = schema.get("anyOf", [])
    others = [each for each in given if each != {"type": "null"}]
    return others, len(others) < len(given)


def _drop_null(schema: Json) -> None:
    others, is_nullable = _alternatives(schema)
    if is_nullable and len(others) == 1:
        del schema["anyOf"]
        schema.update(others[0])


def _join_null(schema: Json) -> None:
    """``anyOf: [X, null]`` as ``type: [X, "null"]``, where X is a plain type and no reference."""
    others, is_nullable = _alternatives(schema)
    if not is_nullable or len(others) != 1 or not isinstance(others[0].get("type"), str):
        return
    del schema["anyOf"]
    schema.update(others[0])
    schema["type"] = [others[0]["type"], "null"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
