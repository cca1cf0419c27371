"""Messages between host and worker: a JSON object with its length before it, then the bytes it announces."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

_LENGTH = struct.Struct(">I")
_MAX_JSON = 1024 * 1024
_MAX_BYTES = 1024 * 1024 * 1024


class WireError(Exception):
    """The other side is gone, or what it sent can't be read."""


def send(
    connection: socket.socket, message: dict[str, Any], *blobs: bytes, until: float | None = None
) -> None:
    """Send ``message`` and ``blobs``. Raises ``TimeoutError`` at ``until`` (monotonic s), ``WireError``."""
    text = json.dumps(message | {"blobs": [len(blob) for blob in blobs]}).encode()
    for part in (_LENGTH.pack(len(text)) + text, *blobs):
        _set_timeout(connection, until)
        try:
            connection.sendall(part)
        except TimeoutError:
            raise
        except OSError as error:
            raise WireError(str(error)) from error


def receive(connection: socket.socket, until: float | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """What ``send`` sent. Raises ``TimeoutError``, ``WireError``."""
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size, until))
    if length > _MAX_JSON:
        raise WireError("the message is too long")
    try:
        message = json.loads(_read(connection, length, until))
        sizes = [int(size) for size in message.pop("blobs")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError("the message is no message") from error
    if sum(sizes) > _MAX_BYTES or min(sizes, default=0) < 0:
        raise WireError("the message announces too much")
    return message, [_read(connection, size, until) for size in sizes]


def _read(connection: socket.socket, size: int, until: float | None) -> bytes:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        _set_timeout(connection, until)
        try:
            count = connection.recv_into(view[filled:])
        except TimeoutError:
            raise
        except OSError as error:
            raise WireError(str(error)) from error
        if count == 0:
            raise WireError("the other side is gone")
        filled += count
    view.release()
    return bytes(buffer)


def _set_timeout(connection: socket.socket, until: float | None) -> None:
    if until is None:
        connection.settimeout(None)
        return
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
