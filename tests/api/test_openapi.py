"""The description of the API: short, in words, and true of every status that a route returns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.app import create_app

Json = dict[str, Any]
PROBLEM = {"$ref": "#/components/schemas/Problem"}


@pytest.fixture(scope="module")
def document() -> Json:
    return create_app().openapi()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def nodes(node: Any) -> Iterator[Json]:
    """Every JSON object of the document."""
    if isinstance(node, list):
        for each in node:
            yield from nodes(each)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)


def test_an_operation_is_called_by_words_and_described_in_a_sentence(document: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) >= 26
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []
    for _, _, operation in operations(document):
        assert re.fullmatch(r"[A-Z].{15,}\.", operation["summary"]), operation["summary"]
        assert operation["tags"], operation["operationId"]


def test_every_error_refers_to_the_one_problem(document: Json) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "400" or (path, status) == ("/healthz", "503"):
                continue
            assert response["content"] == {"application/problem+json": {"schema": PROBLEM}}, (method, path)
    inline = [node for node in nodes(document) if {"title", "detail"} <= node.get("properties", {}).keys()]
    assert inline == [document["components"]["schemas"]["Problem"]]


def test_null_is_a_type_wherever_there_is_one(document: Json) -> None:
    for node in nodes(document):
        if {"type": "null"} in node.get("anyOf", []):
            assert "$ref" in node["anyOf"][0], node


def test_no_schema_has_a_title_that_nobody_wrote(document: Json) -> None:
    titles = [node["title"] for node in nodes(document) if isinstance(node.get("title"), str)]
    assert titles == [document["info"]["title"]]


def test_every_component_is_used_and_its_name_says_what_it_is(document: Json) -> None:
    schemas = document["components"]["schemas"]
    used = {node["$ref"].rsplit("/", 1)[-1] for node in nodes(document) if "$ref" in node}
    assert used == schemas.keys()
    assert [name for name in schemas if not re.fullmatch(r"([A-Z][a-z]+)+", name)] == []
    empty = [name for name, schema in schemas.items() if not ({"properties", "enum"} & schema.keys())]
    assert empty == []


def test_enums_are_enums(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for model, field, enum in (
        ("AcceptedJob", "state", "JobState"),
        ("JobStatus", "state", "JobState"),
        ("JobStatus", "image_size", "ImageSize"),
        ("JobFromFile", "image_size", "ImageSize"),
        ("Problem", "code", "ErrorCode"),
        ("LedgerSums", "state", "SpendState"),
    ):
        assert schemas[model]["properties"][field]["$ref"] == f"#/components/schemas/{enum}"
        assert schemas[enum]["enum"]


def test_a_repeated_key_is_declared_and_pictures_and_logs_have_their_types(document: Json) -> None:
    paths = document["paths"]
    for path in ("/api/v1/process", "/api/v1/batches"):
        assert {"200", "202"} <= paths[path]["post"]["responses"].keys()
    picture = paths["/api/v1/jobs/{job_id}/images/{stage}"]["get"]["responses"]
    assert picture["200"]["content"]["image/png"]["schema"] == {"type": "string", "format": "binary"}
    assert "Location" in picture["302"]["headers"]
    logs = paths["/api/v1/logs"]["get"]["responses"]["200"]["content"]
    assert logs.keys() == {"text/event-stream", "application/x-ndjson"}


def test_paths_are_relative_to_the_origin_and_credentials_are_declared(document: Json) -> None:
    assert document["servers"] == [{"url": "/"}]
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme.get("in", scheme.get("scheme")) for name, scheme in schemes.items()} == {
        "ApiKey": "header",
        "Bearer": "bearer",
        "Session": "cookie",
    }
