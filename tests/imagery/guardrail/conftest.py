"""One guardrail with its workers for all tests, and one for tests that bring their own settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from imagery.environment import read
from imagery.guardrail.examine import Guardrail
from imagery.guardrail.limits import PictureLimits
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
    """Guardrails with variables, and limits, of their own."""
    made: list[Guardrail] = []

    def build(limits: Mapping[str, object] | None = None, **variables: str) -> Guardrail:
        settings = read(Settings, variables)
        given = PictureLimits.of(settings).model_copy(update=dict(limits or {}))
        made.append(Guardrail(settings, limits=given))
        return made[-1]

    yield build
    for each in made:
        each.close()
