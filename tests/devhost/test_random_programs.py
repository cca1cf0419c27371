"""The walker and a second reading of Microsoft's code agree on orchestrators that nobody would write."""

from __future__ import annotations

import pytest

from tests.devhost.random_programs import World

PROGRAMS = 200
_AT_ONCE = 25


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, PROGRAMS, _AT_ONCE))
def test_the_walker_does_what_the_model_of_the_extension_does(first: int) -> None:
    """At every prefix of every history: the same ids, names and moments, and the same end."""
    for seed in range(first, first + _AT_ONCE):
        world = World(seed)
        world.run()
        assert not world.differences, f"program {seed}: {world.differences[0]}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_programs_come_to_every_kind_of_end() -> None:
    worlds = [World(seed) for seed in range(1, 50)]
    for each in worlds:
        each.run()
    assert {"done", "continued", "failed", "non-deterministic"} <= {each.end for each in worlds}
