"""The settings as a Markdown table: ``python -m imagery.settings_table``, for the README."""

from __future__ import annotations

import sys
from enum import Enum

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from imagery.settings import Settings


def variable(name: str, field: FieldInfo, model: type[BaseSettings] = Settings) -> str:
    """The environment variable of a field."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return field.alias or f"{model.model_config.get('env_prefix', '')}{name}".upper()


def settings_table(model: type[BaseSettings] = Settings) -> str:
    """One row a setting: variable, default, meaning."""
    rows = [
        f"| `{variable(name, field, model)}` | {_default(field.default)} | {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def default_text(value: object) -> str:
    """A default as it would stand in the environment; empty when there is none."""
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = ",".join(str(each) for each in value)
    return str(value)


def _default(value: object) -> str:
    text = default_text(value)
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(settings_table() + "\n")
