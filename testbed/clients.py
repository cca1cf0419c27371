"""HTTP clients of servers on this machine."""

from __future__ import annotations

import httpx

# uvicorn closes a connection after five idle seconds: one that is used again at that very moment breaks
NOTHING_KEPT = httpx.Limits(max_keepalive_connections=0)


def local_client(
    port: int, *, timeout_s: float = 60.0, headers: dict[str, str] | None = None
) -> httpx.Client:
    """A client with a new connection for each request, so that an idle one can't break in its hands."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers=headers,
        timeout=timeout_s,
        limits=NOTHING_KEPT,
        # there is no TLS: reading the certificates of the system takes longer than most requests
        verify=False,
    )
