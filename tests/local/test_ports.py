"""Ports: wishes, free ones, and who holds a taken one."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from local.ports import PortTakenError, PortWish, choose, holder, is_free
from testbed.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_free_wish_is_granted() -> None:
    number = free_port()
    assert choose([PortWish("PORT", number, explicit=False)]) == {"PORT": number}


def test_a_taken_default_moves_to_a_free_port(taken: int) -> None:
    number = choose([PortWish("PORT", taken, explicit=False)])["PORT"]
    assert number != taken
    assert is_free(number)


def test_a_taken_explicit_port_is_refused_by_name_and_number(taken: int) -> None:
    with pytest.raises(PortTakenError, match=f"GPU_PORT={taken} is taken by .*set GPU_PORT"):
        choose([PortWish("GPU_PORT", taken, explicit=True)])


def test_a_port_taken_on_all_addresses_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not is_free(listener.getsockname()[1])


def test_a_default_gives_way_to_an_explicit_wish_for_the_same_port() -> None:
    number = free_port()
    wishes = [PortWish("PORT", number, explicit=False), PortWish("GPU_PORT", number, explicit=True)]
    ports = choose(wishes)
    assert ports["GPU_PORT"] == number
    assert ports["PORT"] != number
    assert list(ports) == ["PORT", "GPU_PORT"]


def test_two_explicit_wishes_for_one_port_are_refused() -> None:
    number = free_port()
    wishes = [PortWish("PORT", number, explicit=True), PortWish("GPU_PORT", number, explicit=True)]
    with pytest.raises(PortTakenError, match="taken by PORT"):
        choose(wishes)


@pytest.mark.parametrize("number", [0, 65536, 100000])
def test_a_number_that_is_no_port_is_refused(number: int) -> None:
    with pytest.raises(PortTakenError, match="is not a port"):
        choose([PortWish("PORT", number, explicit=True)])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells only on Linux")
def test_the_holder_of_a_port_is_named(taken: int) -> None:
    assert str(holder(taken)).startswith(f"pid {os.getpid()} (")
    assert holder(free_port()) is None
