"""The durable client of the running invocation, carried to the routes by a contextvar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import azure.durable_functions as df

_client: ContextVar[df.DurableOrchestrationClient | None] = ContextVar("durable_client", default=None)


@contextmanager
def with_client(client: df.DurableOrchestrationClient) -> Iterator[None]:
    """Make ``client`` the one that ``durable_client()`` returns inside the block."""
    token = _client.set(client)
    try:
        yield
    finally:
        _client.reset(token)


def durable_client() -> df.DurableOrchestrationClient:
    """The client of this request. Raises ``RuntimeError`` outside of an invocation."""
    client = _client.get()
    if client is None:
        raise RuntimeError("no durable client: this code runs outside of an HTTP function")
    return client
