"""Groups of settings, read from environment variables.

A ``Group`` is a pydantic model. Each of its fields is one variable, another group, or ``Words``: values that
belong together in one variable, such as ``GPU_RETRY="attempts=3 cap_s=10"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

Path = tuple[str, ...]

# what Azure leaves in a variable when it can't read the secret that it names
_UNRESOLVED = "@Microsoft.KeyVault("


class SettingsError(ValueError):
    """One or more variables have wrong values; the text names each of them, never its value."""


class Words(BaseModel):
    """Values in one variable, ``word=value`` each, separated by spaces.

    A word that is not given keeps its default. Of a word that is given twice the last one counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(BaseModel):
    """Settings that belong together. The variable of a field is ``prefix`` and its name in upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prefix: ClassVar[str] = ""


@dataclass(frozen=True)
class Named:
    """Annotation of a field whose variable has a name of its own."""

    variable: str


@dataclass(frozen=True)
class Variable:
    """One variable: its name, the field it fills, and its ``Words`` if it has several values."""

    name: str
    path: Path
    field: FieldInfo
    words: type[Words] | None = None


Model = TypeVar("Model", bound=Group)


def variables(model: type[Group], path: Path = ()) -> Iterator[Variable]:
    """Every variable of a group, in the order of its fields."""
    for name, field in model.model_fields.items():
        kind, here = field.annotation, (*path, name)
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from variables(kind, here)
            continue
        own = next((each.variable for each in field.metadata if isinstance(each, Named)), None)
        words = kind if isinstance(kind, type) and issubclass(kind, Words) else None
        yield Variable(own or f"{model.prefix}{name}".upper(), here, field, words)


def read(model: type[Model], environment: Mapping[str, str]) -> Model:
    """Fill ``model`` from variables; empty ones, and secrets that Key Vault lacks, count as not set.

    Raises ``SettingsError``.
    """
    given = {
        name.upper(): value
        for name, value in environment.items()
        if value.strip() and not value.startswith(_UNRESOLVED)
    }
    known = list(variables(model))
    problems: list[str] = []
    values: dict[str, Any] = {}
    for variable in known:
        text = given.get(variable.name.upper())
        if text is not None:
            value, wrong = _words(variable, text) if variable.words else (text, [])
            problems += wrong
            _put(values, variable.path, value)
    try:
        filled = model.model_validate(values)
    except ValidationError as error:
        problems += [_sentence(each["loc"], each["msg"], known) for each in error.errors()]
    if problems:
        raise SettingsError("; ".join(problems))
    return filled


def _words(variable: Variable, text: str) -> tuple[dict[str, str], list[str]]:
    """The values by word, and what is wrong with them."""
    assert variable.words is not None
    allowed = variable.words.model_fields
    values, problems = {}, []
    for part in text.split():
        word, sign, value = part.partition("=")
        if not sign:
            problems.append(f"{variable.name}: write word=value instead of '{word}'")
        elif word not in allowed:
            problems.append(f"{variable.name} has no word '{word}': it takes {', '.join(sorted(allowed))}")
        elif value:
            values[word] = value
    return values, problems


def _put(values: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _sentence(place: tuple[int | str, ...], message: str, known: list[Variable]) -> str:
    text = message.removeprefix("Value error, ")
    for variable in known:
        length = len(variable.path)
        if place[:length] == variable.path:
            word = next((str(each) for each in place[length : length + 1]), "")
            return f"{variable.name}: {word + ': ' if word and variable.words else ''}{text}"
    return f"{'.'.join(map(str, place))}: {text}"
