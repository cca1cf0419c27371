"""The order of the rooms: which part of the program may import which, and what an orchestrator may touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# each room with those that it may import; a room stands above all that it may import
ROOMS: dict[str, set[str]] = {
    "tests": {
        "activities",
        "api",
        "client",
        "devhost",
        "drills",
        "function_app",
        "gpu_container",
        "imagery",
        "infra",
        "lifecycle",
        "local",
        "orchestrators",
        "testbed",
    },
    "drills": {
        "api",
        "client",
        "devhost",
        "gpu_container",
        "imagery",
        "infra",
        "lifecycle",
        "local",
        "orchestrators",
        "testbed",
    },
    "testbed": {"imagery", "local"},
    "infra": {"gpu_container", "imagery"},
    "local": set(),
    "devhost": set(),
    "client": set(),
    "function_app": {"activities", "api", "imagery", "lifecycle", "orchestrators"},
    # orchestrators are started by name: nobody but function_app imports them
    "api": {"imagery", "lifecycle"},
    "lifecycle": {"imagery"},
    "orchestrators": {"imagery"},
    "activities": {"imagery"},
    "gpu_container": {"imagery"},
    "imagery": set(),
}

# imagery/ from the ground to the roof: a module imports what lies below it, nothing beside it or above
LAYERS: tuple[set[str], ...] = (
    {"__init__"},
    {"api_keys", "bounded_picture", "contracts", "png", "principal", "safe_http", "text", "webhooks"},
    {"backoff", "environment", "file_names", "job_ids", "old_settings", "prices"},
    {"settings"},
    {"identity"},
    {"retry", "telemetry"},
    {"gpu_client", "provenance", "providers", "storage"},
    {"database"},
    {"guardrail"},
    {"services"},
    {"cli", "reporting", "users"},
)

# what the GPU image holds of imagery/
GPU_IMPORTS = {
    "__init__",
    "bounded_picture",
    "contracts",
    "environment",
    "settings",
    "storage",
    "telemetry",
}

# what code that is replayed may import: no I/O, no clock, no chance
REPLAYABLE = {
    "__future__",
    "azure.durable_functions",
    "collections.abc",
    "dataclasses",
    "datetime",
    "enum",
    "hashlib",
    "math",
    "typing",
    "pydantic",
    "orchestrators",
    "imagery",
}
_NOT_REPLAYABLE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "now", "utcnow", "today"}


@dataclass(frozen=True)
class Import:
    """One import, wherever it stands in a file: at its top, in a function or under ``TYPE_CHECKING``."""

    file: str
    line: int
    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.imported}"


class Tree:
    """The modules below a folder, by their dotted names, and what each imports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = dict(_modules(root))
        self.imports = [each for module in self.files for each in self._imports(module)]

    def code(self, module: str) -> ast.Module:
        """The parsed module."""
        return ast.parse(self.files[module].read_text(encoding="utf-8"))

    def room(self, module: str) -> str:
        """The room of a module of this tree."""
        return self.files[module].relative_to(self.root).parts[0].removesuffix(".py")

    def owner(self, name: str) -> str | None:
        """The module of this tree that an imported name belongs to; None for other libraries."""
        while name and name not in self.files:
            name = name.rpartition(".")[0]
        return name or None

    def _imports(self, module: str) -> Iterator[Import]:
        file = self.files[module].relative_to(self.root).as_posix()
        for node in ast.walk(self.code(module)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno} has a relative import; write the whole name"
                names = [self._from(str(node.module), alias.name) for alias in node.names]
            else:
                continue
            for name in dict.fromkeys(names):
                yield Import(file, node.lineno, module, name)

    def _from(self, module: str, name: str) -> str:
        """``from azure import durable_functions`` imports a module, ``from typing import Any`` a name."""
        is_module = f"{module}.{name}" in self.files or f"{module}.{name}" in REPLAYABLE
        return f"{module}.{name}" if is_module else module


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        base = root / room if room == "client" else root
        for file in (root / f"{room}.py", *sorted((root / room).rglob("*.py"))):
            if file.is_file() and "node_modules" not in file.parts:
                parts = file.relative_to(base).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def wrong_rooms(tree: Tree) -> list[str]:
    """Imports from a room that the importer's room may not use."""
    found = []
    for each in tree.imports:
        owner = tree.owner(each.imported)
        if owner is None:
            continue
        room, other = tree.room(each.importer), tree.room(owner)
        if other != room and other not in ROOMS[room]:
            allowed = ", ".join(sorted(ROOMS[room])) or "no other room"
            found.append(f"{each}: {room} may import {allowed}")
    return found


def _unit(module: str) -> str:
    """The part of imagery/ that a module belongs to: a folder or a file."""
    return [*module.split("."), "__init__"][1]


def _layer(module: str) -> int:
    return next(number for number, units in enumerate(LAYERS) if _unit(module) in units)


def wrong_layers(tree: Tree) -> list[str]:
    """Imports inside imagery/ that don't lead down."""
    found = []
    for each in tree.imports:
        owner = tree.owner(each.imported)
        if owner is None or {tree.room(each.importer), tree.room(owner)} != {"imagery"}:
            continue
        is_inside = _unit(owner) == _unit(each.importer)
        if not is_inside and _layer(owner) >= _layer(each.importer):
            below = sorted(unit for units in LAYERS[: _layer(each.importer)] for unit in units)
            found.append(f"{each}: imagery.{_unit(each.importer)} may import {', '.join(below)}")
    return found


def wrong_in_gpu_container(tree: Tree) -> list[str]:
    """Imports of gpu_container/ from parts of imagery/ that its image should not need."""
    return [
        f"{each}: of imagery the GPU image holds {', '.join(sorted(GPU_IMPORTS))}"
        for each in tree.imports
        if (owner := tree.owner(each.imported)) is not None
        and (tree.room(each.importer), tree.room(owner)) == ("gpu_container", "imagery")
        and _unit(owner) not in GPU_IMPORTS
    ]


def reached_from(tree: Tree, room: str) -> set[str]:
    """The modules of a room and all of ours that they import, directly or not, wherever the import stands."""
    reached: set[str] = set()
    waiting = [module for module in tree.files if tree.room(module) == room]
    while waiting:
        module = waiting.pop()
        if module in reached:
            continue
        reached.add(module)
        owners = [tree.owner(each.imported) for each in tree.imports if each.importer == module]
        waiting += [owner for owner in owners if owner is not None]
        # Python runs the package before the module
        waiting += [parent for parent in [module.rpartition(".")[0]] if parent in tree.files]
    return reached


def not_replayable(tree: Tree) -> list[str]:
    """What an orchestrator could do otherwise the second time: imports and calls, with the way to them."""
    modules = reached_from(tree, "orchestrators")
    imports = [
        f"{each}: an orchestrator is replayed, and so is what it imports"
        for each in tree.imports
        if each.importer in modules and tree.owner(each.imported) is None and each.imported not in REPLAYABLE
    ]
    calls = [
        f"{tree.files[module].relative_to(tree.root).as_posix()}:{node.lineno} calls {ast.unparse(node.func)}"
        for module in sorted(modules)
        for node in ast.walk(tree.code(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _NOT_REPLAYABLE_CALLS
    ]
    return imports + calls


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(ROOT)


def test_the_tables_have_no_circle_and_leave_nothing_out(tree: Tree) -> None:
    order = list(ROOMS)
    for room, below in ROOMS.items():
        assert below <= set(order[order.index(room) + 1 :]), f"{room} stands below a room that it may import"
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} | {
        file.stem for file in ROOT.glob("*.py")
    }
    assert packages <= set(ROOMS), "a room of Python modules has no row in ROOMS"
    units = {_unit(module) for module in tree.files if tree.room(module) == "imagery"}
    assert units <= set().union(*LAYERS), "a part of imagery/ has no place in LAYERS"


def test_each_room_imports_only_rooms_below_it(tree: Tree) -> None:
    wrong = wrong_rooms(tree)
    assert not wrong, "\n".join(wrong)


def test_no_arrow_runs_back_up_inside_imagery(tree: Tree) -> None:
    wrong = wrong_layers(tree)
    assert not wrong, "\n".join(wrong)


def test_the_gpu_service_needs_only_the_ground_floor_of_imagery(tree: Tree) -> None:
    wrong = wrong_in_gpu_container(tree)
    assert not wrong, "\n".join(wrong)


def test_orchestrators_import_nothing_that_a_replay_could_see_otherwise(tree: Tree) -> None:
    wrong = not_replayable(tree)
    assert not wrong, "\n".join(wrong)
    assert {"imagery.contracts", "imagery.backoff"} <= reached_from(tree, "orchestrators")


@pytest.mark.parametrize(
    ("file", "code", "told"),
    [
        (
            "lifecycle/a.py",
            "import api.app",
            "imports api.app: lifecycle may import imagery",
        ),
        ("api/a.py", "from orchestrators import batch", "api/a.py:1 imports orchestrators.batch"),
        ("devhost/a.py", "def f():\n    from imagery import text", "devhost/a.py:2 imports imagery.text"),
        ("imagery/text.py", "from imagery.services import x", "imagery/text.py:1 imports imagery.services"),
        ("imagery/telemetry/a.py", "import imagery.reporting.push", "imagery.telemetry may import"),
        ("imagery/contracts.py", "from imagery import text", "imagery/contracts.py:1 imports imagery.text"),
        ("gpu_container/a.py", "import imagery.services", "gpu_container/a.py:1 imports imagery.services"),
        ("orchestrators/a.py", "import random", "orchestrators/a.py:1 imports random"),
        ("orchestrators/a.py", "def f():\n    import time", "orchestrators/a.py:2 imports time"),
        ("orchestrators/a.py", "from imagery import text", "imagery/text.py:1 imports re"),
        ("orchestrators/a.py", "at = datetime.now(UTC)", "orchestrators/a.py:1 calls datetime.now"),
    ],
)
def test_a_wrong_import_is_found_and_named(tmp_path: Path, file: str, code: str, told: str) -> None:
    for name in (
        "api/app.py",
        "imagery/services.py",
        "imagery/text.py",
        "imagery/reporting/push.py",
        "orchestrators/batch.py",
        file,
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("import re" if name == "imagery/text.py" else "")
    (tmp_path / file).write_text(code)
    tree = Tree(tmp_path)
    wrong = wrong_rooms(tree) + wrong_layers(tree) + wrong_in_gpu_container(tree) + not_replayable(tree)
    assert any(told in each for each in wrong), wrong
