"""The base of all messages: small, frozen, versionable pydantic models."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class JsonObject(dict[str, Any]):
    """A JSON object as durable functions carry it.

    A class of its own because the Functions worker refuses parameterised generics such as
    ``dict[str, Any]`` as annotations of a function's bindings.
    """


class Message(BaseModel):
    """Base of all messages: immutable, unknown fields ignored so that old code reads new messages."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)

    def to_json(self) -> JsonObject:
        """The message as plain JSON types, the only form that durable functions may carry."""
        return JsonObject(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what ``to_json`` wrote. Raises ``pydantic.ValidationError``."""
        return cls.model_validate(data)
