"""One guardrail with its workers for all tests, and one for tests that bring their own settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from imagery.guardrail import Guardrail
from imagery.settings import Settings

Make = Callable[..., Guardrail]


@pytest.fixture(scope="session")
def guardrail() -> Iterator[Guardrail]:
    """The guardrail with default settings."""
    made = Guardrail(Settings())
    yield made
    made.close()


@pytest.fixture
def make() -> Iterator[Make]:
    """Guardrails with settings of their own."""
    made: list[Guardrail] = []

    def build(**settings: object) -> Guardrail:
        made.append(Guardrail(Settings.model_validate(settings)))
        return made[-1]

    yield build
    for each in made:
        each.close()
