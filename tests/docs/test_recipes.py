"""The recipes of CONTRIBUTING.md lead where they say: each is followed in a copy of the tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.recipes import RecipeError, change, follow, recipes, write
from tests.docs.terminal import Checkout, Network

RECIPES = recipes()
_LIMIT_S = 240.0


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    network = Network()
    yield Checkout(tmp_path / "repository", network)
    network.close()


def test_there_is_a_recipe_for_what_people_add() -> None:
    wanted = {"guardrail check", "setting", "migration", "endpoint", "stage option", "package"}
    assert {name.removeprefix("Add a ").removeprefix("Add an ") for name in RECIPES} == wanted


@pytest.mark.drill
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leads_where_it_says(name: str, checkout: Checkout) -> None:
    def run(script: str) -> None:
        code, said = checkout.run(f"set -e\n{script}", _LIMIT_S)
        assert code == 0, f"{script}\n{said}"

    follow(RECIPES[name], checkout.folder, run)
    # what a recipe leaves behind is formatted as ruff would
    run(".venv/bin/ruff check . && .venv/bin/ruff format --check .")


def test_only_what_starts_a_second_stack_or_compiles_locks_is_not_followed() -> None:
    left_out = [step.reason for steps in RECIPES.values() for step in steps if step.reason]
    assert sorted(left_out) == ["needs a package index", "needs a package index", "starts a second stack"]


def test_a_recipe_that_the_tree_has_outgrown_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one = 1\n")
    head = "--- a/a.py\n+++ b/a.py\n@@\n"
    with pytest.raises(RecipeError, match="0 times"):
        change(f"{head}-two = 2\n+two = 3\n", tmp_path)
    with pytest.raises(RecipeError, match="exists"):
        write("# a.py\ntwo = 2\n", tmp_path)
    change(f"{head} one = 1\n+two = 2\n", tmp_path)
    assert (tmp_path / "a.py").read_text() == "one = 1\ntwo = 2\n"
