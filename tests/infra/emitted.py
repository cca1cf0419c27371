"""What the code tells: events with their keys, read from its source, and metrics, from their exposition."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from imagery.contracts import JobState
from imagery.database.circuits import CircuitState
from imagery.database.money import SpendState

ROOT = Path(__file__).parent.parent.parent
_FOLDERS = ("activities", "api", "gpu_container", "imagery", "lifecycle", "orchestrators")
_TELLING = {"record", "_record", "debug", "info", "warning", "error", "exception"}
_ENUMS = [
    *(state.value.lower() for state in JobState),
    *(state.value for state in SpendState),
    *(state.value for state in CircuitState),
]
# on every line, see imagery.telemetry.logs; logger_name is added by the exporters
ALWAYS = {"job_id", "stage", "version", "logger_name"}


@cache
def events() -> frozenset[str]:
    """The names of all log events."""
    return frozenset(name for call in _calls() for argument in call.args for name in _texts(argument))


@cache
def keys() -> frozenset[str]:
    """What log events carry beyond their name."""
    named = {word.arg for call in _calls() for word in call.keywords if word.arg}
    inside = {
        key.value
        for tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    assigned = {
        node.slice.value
        for tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    }
    return frozenset(named | inside | assigned | ALWAYS)


def samples(exposition: str) -> dict[str, set[str]]:
    """The labels of each sample name of a Prometheus exposition."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@cache
def _trees() -> list[ast.Module]:
    files = itertools.chain.from_iterable((ROOT / folder).rglob("*.py") for folder in _FOLDERS)
    return [ast.parse(file.read_text()) for file in files]


def _calls() -> Iterator[ast.Call]:
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in _TELLING:
                yield node


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _texts(argument: ast.expr) -> Iterator[str]:
    """The texts an argument can stand for; a state inside an f-string is each state there is."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value
    if isinstance(argument, ast.IfExp):
        yield from itertools.chain(_texts(argument.body), _texts(argument.orelse))
    if isinstance(argument, ast.JoinedStr):
        parts = [[str(part.value)] if isinstance(part, ast.Constant) else _ENUMS for part in argument.values]
        yield from map("".join, itertools.product(*parts))
