"""What OpenAPI declares, held against what is answered."""

from __future__ import annotations

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

Json = dict[str, Any]


class Declared:
    """The operations of a document, with the statuses, media types and bodies that each of them declares."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self.operations: dict[str, Json] = {}
        self._routes: list[tuple[str, re.Pattern[str], Json]] = []
        for path, methods in document["paths"].items():
            pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path))
            for method, operation in methods.items():
                self.operations[operation["operationId"]] = {**operation, "path": path, "method": method}
                self._routes.append((method.upper(), pattern, operation))

    @property
    def statuses(self) -> set[tuple[str, int]]:
        """Every pair of operation and status."""
        return {
            (name, int(status))
            for name, operation in self.operations.items()
            for status in operation["responses"]
        }

    def operation_of(self, request: httpx.Request) -> Json | None:
        """The operation that a request calls; None for what is none."""
        path = request.url.raw_path.decode().partition("?")[0]
        # a path without a parameter is the closer match
        found = [
            (pattern.pattern.count("[^/]+"), operation)
            for method, pattern, operation in self._routes
            if method == request.method and pattern.fullmatch(path)
        ]
        return min(found, key=lambda each: each[0])[1] if found else None

    def check(self, response: httpx.Response) -> None:
        """Fail when the response has a status, a media type or a body that its operation does not declare."""
        operation = self.operation_of(response.request)
        if operation is None:
            return
        name, status = operation["operationId"], str(response.status_code)
        declared = operation["responses"].get(status)
        assert declared is not None, f"{name} returned {status}, which OpenAPI does not declare"
        media_type = response.headers.get("content-type", "").partition(";")[0]
        content = declared.get("content", {})
        if not content:
            return
        assert media_type in content, f"{name} returned {status} as '{media_type}', declared: {list(content)}"
        if media_type.endswith(("/json", "+json")):
            response.read()
            self._validator(content[media_type]["schema"]).validate(response.json())
        for header, details in declared.get("headers", {}).items():
            assert header in response.headers or not details.get("required"), f"{name} {status}: no {header}"

    async def check_async(self, response: httpx.Response) -> None:
        """``check`` as an event hook of an asynchronous client."""
        await response.aread()
        self.check(response)

    def _validator(self, schema: Json) -> Draft202012Validator:
        whole = {**schema, "components": self._document["components"]}
        return Draft202012Validator(whole, format_checker=FormatChecker())
