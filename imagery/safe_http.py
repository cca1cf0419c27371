"""POST and GET to an untrusted address: never into this network, and never for long.

The name is resolved once, every address behind it is checked, and the connection goes to the address
that was checked, so that a name can't mean one address at the check and another at the call.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 2048
_MAX_ANSWER = 64 * 1024
_CHUNK = 4096
_LONGEST_RESOLVE_S = 5.0
# public by their number, and still off limits: Azure's platform address, and IPv6 ranges
# that carry an IPv4 address inside (NAT64, 6to4, Teredo, IPv4-compatible)
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "::/96",
        "fec0::/10",
        "3fff::/20",
    )
)
# the middle of an ISATAP address, which carries an IPv4 address in its last 32 bits
_ISATAP = {0x00005EFE, 0x02005EFE}
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:.]+")
_MAX_HOST = 253
# names that mean this machine or this network, whatever a resolver says
_LOCAL_NAME = re.compile(r"(?:.*\.)?(?:localhost|local|internal)\.?", re.IGNORECASE)
# a lookup that nobody answers holds its thread for some ten seconds: few of one domain may do so, and many
# domains have to, before another one's lookup waits
_LOOKUPS, _LOOKUPS_OF_A_DOMAIN = 32, 8
_resolvers = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve")
_lookups: dict[tuple[str, int], Future[list[Any]]] = {}
_looking = threading.Lock()


class RefusedUrlError(Exception):
    """The URL may not be called; the text says why."""

    code = "callback_url_refused"


class UnreachableError(Exception):
    """No response came; a later attempt may succeed."""


@dataclass(frozen=True)
class HttpAnswer:
    """The response. ``retry_after_s`` is set if the server asked for a wait."""

    status: int
    retry_after_s: float | None = None


def check_url(text: str, *, allow_loopback: bool) -> str:
    """The URL as it will be called. Raises ``RefusedUrlError``.

    ``https`` only; ``allow_loopback`` (development) admits ``http`` and ``https`` to this machine too.
    A host that is, or resolves to, an address of a private network is refused; one that can't be
    resolved now is not, because it is checked again when it is called.
    """
    if len(text) > MAX_URL:
        raise RefusedUrlError(f"it is longer than {MAX_URL} characters")
    url = _parse(text)
    if url.scheme not in {"https", "http"} or not url.host:
        raise RefusedUrlError("it must be https://host/path")
    if url.userinfo:
        raise RefusedUrlError("it must not hold a user name or password")
    host = _host(url)
    if not allow_loopback and _LOCAL_NAME.fullmatch(host):
        raise RefusedUrlError("its host is a name of a private network")
    try:
        addresses = _resolve(host, url.port or 443, _LONGEST_RESOLVE_S)
    except UnreachableError:
        addresses = []
    refuse_private(addresses, allow_loopback=allow_loopback)
    is_local = bool(addresses) and all(_plain(address).is_loopback for address in addresses)
    if url.scheme != "https" and not (allow_loopback and is_local):
        raise RefusedUrlError("it must be https")
    return str(url.copy_with(fragment=None))


def refuse_private(addresses: Iterable[Address], *, allow_loopback: bool) -> None:
    """Raise ``RefusedUrlError`` if one of ``addresses`` is not public."""
    for address in addresses:
        plain = _plain(address)
        if allow_loopback and plain.is_loopback:
            continue
        if not _is_public(plain):
            raise RefusedUrlError("its host is, or resolves to, an address that is not public")


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, allow_loopback: bool
) -> HttpAnswer:
    """POST once, without following redirects. Raises ``RefusedUrlError``, ``UnreachableError``.

    ``timeout_s`` bounds everything together: resolving, connecting, sending, and the response, of which
    64 KiB are read at most.
    """
    status, answer_headers, _ = _exchange(
        "POST", url, body, headers, timeout_s=timeout_s, most=_MAX_ANSWER, allow_loopback=allow_loopback
    )
    return HttpAnswer(status, _retry_after(answer_headers))


def get(url: str, *, timeout_s: float, most: int, allow_loopback: bool) -> bytes:
    """GET once, with the rules of ``post``. Raises ``RefusedUrlError``, ``UnreachableError``.

    Also where the response is none of status 200, or has more than ``most`` bytes.
    """
    check_url(url, allow_loopback=allow_loopback)
    status, _, body = _exchange(
        "GET", url, b"", {}, timeout_s=timeout_s, most=most, allow_loopback=allow_loopback
    )
    if status != httpx.codes.OK:
        raise UnreachableError(f"status {status}")
    if len(body) > most:
        raise UnreachableError(f"more than {most} bytes")
    return body


def _exchange(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    most: int,
    allow_loopback: bool,
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers, and the body up to the chunk in which it exceeds ``most`` bytes."""
    until = time.monotonic() + timeout_s
    backend = _GuardedBackend(until, allow_loopback=allow_loopback)
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend, retries=0) as pool,
            pool.stream(method, str(_parse(url)), headers=sent, content=body or None) as response,
        ):
            received = bytearray()
            for chunk in response.iter_stream():
                received += chunk
                if len(received) > most:
                    break
            return response.status, response.headers, bytes(received)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        raise UnreachableError(type(error).__name__) from error
    except (httpcore.UnsupportedProtocol, ValueError) as error:
        raise RefusedUrlError("it is no URL that can be called") from error


def _parse(text: str) -> httpx.URL:
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise RefusedUrlError("it is no URL") from error


def _host(url: httpx.URL) -> str:
    """The host, which is a plain name or address, at a port that exists. Raises ``RefusedUrlError``."""
    host = url.raw_host.decode("ascii").strip("[]")
    if len(host) > _MAX_HOST or not _HOST.fullmatch(host):
        raise RefusedUrlError("its host is not a plain name or address")
    if url.port is not None and not 0 < url.port < 65_536:
        raise RefusedUrlError("its port does not exist")
    return host


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects only where it may, and only until its time is up."""

    def __init__(self, until: float, *, allow_loopback: bool) -> None:
        self._until = until
        self._allow_loopback = allow_loopback
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check every address, and connect to the first that responds."""
        addresses = _resolve(host.strip("[]"), port, _remaining(self._until))
        refuse_private(addresses, allow_loopback=self._allow_loopback)
        failure: Exception = UnreachableError("the host has no address")
        for address in addresses:
            try:
                stream = self._plain.connect_tcp(str(address), port, timeout=_remaining(self._until))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _BoundedStream(stream, self._until)
        raise failure


class _BoundedStream(httpcore.NetworkStream):
    """A stream whose reads and writes share one deadline: a server can't drip its response for ever."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(min(max_bytes, _CHUNK), _remaining(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _remaining(self._until))
        return _BoundedStream(stream, self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining(until: float) -> float:
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise httpcore.ReadTimeout("the time is up")
    return remaining


def _resolve(host: str, port: int, timeout_s: float) -> list[Address]:
    """Every address of ``host``. Raises ``UnreachableError``."""
    future = _lookup(host.rstrip(".").lower(), port)
    try:
        found = future.result(timeout_s)
    except (OSError, UnicodeError, FutureTimeoutError) as error:
        raise UnreachableError("the host can't be resolved") from error
    return [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]


def _lookup(host: str, port: int) -> Future[list[Any]]:
    """The lookup of ``host`` that is under way, or a new one. Raises ``UnreachableError``."""
    domain = _domain(host)
    with _looking:
        future = _lookups.get((host, port))
        if future is not None:
            return future
        if sum(_domain(other) == domain for other, _ in _lookups) >= _LOOKUPS_OF_A_DOMAIN:
            raise UnreachableError("other lookups of the host's domain get no answer")
        # the system's resolver knows no time limit of ours
        future = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        _lookups[host, port] = future
    future.add_done_callback(lambda _: _forget(host, port))
    return future


def _forget(host: str, port: int) -> None:
    with _looking:
        _lookups.pop((host, port), None)


def _domain(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _plain(address: Address) -> Address:
    """The IPv4 address inside of a mapped one."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if address.version == 6 and int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address.version == network.version and address in network for network in _REFUSED_NETWORKS)


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    value = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    return float(value) if value.isdigit() else None
