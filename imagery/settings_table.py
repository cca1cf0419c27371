"""The settings as a Markdown table: ``python -m imagery.settings_table``, for the README."""

from __future__ import annotations

import sys
from enum import Enum

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from imagery.settings import Settings


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a field."""
    return field.alias or name.upper()


def settings_table() -> str:
    """One row a setting: variable, default, meaning."""
    rows = [
        f"| `{variable(name, field)}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(settings_table() + "\n")
