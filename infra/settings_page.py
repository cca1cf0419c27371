"""``docs/settings.md``: every variable a person may set. ``python -m infra.settings_page [--check]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gpu_container.settings import GpuSettings
from imagery.environment import Group, Variable, variables
from imagery.settings import Settings

PAGE = Path(__file__).parent.parent / "docs/settings.md"

# the command line is a package of its own, whose README has its variables
CLIENT = PAGE.parent.parent / "client/README.md"

_HEAD = """# Settings

{count} variables, each with a reason to change it. An empty variable means its default.
`python -m infra.settings_page` writes this page from `imagery/settings.py` and `gpu_container/settings.py`.

Some variables take several words. `GPU_RETRY="attempts=3 cap_s=10"` sets two of them, the other words keep
their defaults; a word that does not exist is an error that names the words that do.

Names of the version before still work, with a warning at start that says what they are now; the next version
drops them. A variable that became a constant has no effect any more, and the warning says so.
"""


def page() -> str:
    """The whole of ``docs/settings.md``."""
    client = _command_line()
    count = len([*variables(Settings), *variables(GpuSettings), *client])
    groups = [*_sections(Settings), *_sections(GpuSettings)]
    return "\n".join([_HEAD.format(count=count), *groups, _section("The command line", client)])


def default_text(value: object) -> str:
    """A default as it would stand in the environment; empty when there is none."""
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = ",".join(default_text(each) for each in value)
    return str(value)


def _sections(group: type[Group]) -> Iterator[str]:
    """The group's own variables under its docstring, then the groups in it."""
    known = list(variables(group))
    inner = {name: field.annotation for name, field in group.model_fields.items()}
    own = [each for each in known if len(each.path) == 1]
    if own:
        yield _section(group.__doc__ or group.__name__, [row for each in own for row in _rows(each)])
    for kind in inner.values():
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from _sections(kind)


def _section(title: str, rows: list[str]) -> str:
    head = "| variable | default | meaning |\n|---|---|---|"
    return "\n".join([f"## {title}\n", head, *rows, ""])


def _rows(variable: Variable) -> Iterator[str]:
    default = "" if variable.words else _default(variable.field)
    yield f"| `{variable.name}` | {default} | {variable.field.description} |"
    for word, field in variable.words.model_fields.items() if variable.words else ():
        yield f"| · {word} | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    text = default_text(field.default)
    return f"`{text}`" if text else ""


def _command_line() -> list[str]:
    """Rows of the client's variables."""
    return [line for line in CLIENT.read_text().splitlines() if line.startswith("| `IMAGERY_")]


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` only report whether it is out of date."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.stdout.write("docs/settings.md is out of date: run python -m infra.settings_page\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
