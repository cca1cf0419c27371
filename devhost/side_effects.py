"""Points before and after what the app does to the world, for the faults of ``faults.py``.

They lie at the borders of libraries, so that the app needs no hooks and no test depends on its internals:

``before_commit``, ``after_commit``
    A transaction that writes; its name lists the tables, such as
    ``image_job+job_event+metric_count``.
``before_request``, ``sent_request``, ``after_request``
    An HTTP call that changes something (no GET or HEAD), such as ``POST /v1/upscale``: before it goes
    out, when all of it is sent, and when the head of its response has arrived. Calls to Azure Storage have no
    ``sent_request``. Ids in the path are written ``{id}``.
``before_file``, ``after_file``
    A file that gets its name in the folder of blobs, such as ``jobs/{id}/0-guardrail.png``.

The action ``record`` lists the points that a run passes.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
from azure.core.pipeline.transport import RequestsTransport
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from devhost.faults import FaultInjector

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12,}")
_HARMLESS = {"GET", "HEAD", "OPTIONS"}
_SENT = "send_request_body.complete"
_WRITTEN = "tables written"


def install(injector: FaultInjector, blobs: Path) -> None:
    """Report to ``injector``, from now on and in the whole process; ``blobs`` is the folder of blobs."""
    _watch_commits(injector)
    _wrap(httpcore.ConnectionPool, "handle_request", lambda _, request: _http_call(injector, request))
    _wrap(RequestsTransport, "send", lambda _, request, **__: _storage_call(injector, request))
    root = blobs.resolve()
    for name in ("replace", "link"):
        _wrap(os, name, lambda _, target, **__: _file(injector, root, Path(target)))


def _watch_commits(injector: FaultInjector) -> None:
    # a session reports its commit when its connection has already been returned
    committed = threading.local()

    def written(connection: Connection, *rest: Any) -> None:
        context = rest[-2]
        if context is not None and (context.isinsert or context.isupdate or context.isdelete):
            table = getattr(context.compiled.statement, "table", None)
            connection.info.setdefault(_WRITTEN, set()).add(str(table))

    def before(connection: Connection) -> None:
        tables = connection.info.pop(_WRITTEN, None)
        if tables:
            committed.name = "+".join(sorted(tables))
            injector.reach("before_commit", committed.name)

    def after(_: Session) -> None:
        name = committed.__dict__.pop("name", None)
        if name:
            injector.reach("after_commit", name)

    event.listen(Engine, "before_cursor_execute", written)
    event.listen(Engine, "rollback", lambda connection: connection.info.pop(_WRITTEN, None))
    event.listen(Engine, "commit", before)
    event.listen(Session, "after_commit", after)


@contextmanager
def _http_call(injector: FaultInjector, request: httpcore.Request) -> Iterator[None]:
    method = request.method.decode()
    if method in _HARMLESS:
        yield
        return
    name = f"{method} {_plain(request.url.target.decode())}"
    following = request.extensions.get("trace")

    def trace(step: str, details: dict[str, Any]) -> None:
        if following is not None:
            following(step, details)
        if step.endswith(_SENT):
            injector.reach("sent_request", name)

    request.extensions = {**request.extensions, "trace": trace}
    injector.reach("before_request", name)
    yield
    injector.reach("after_request", name)


@contextmanager
def _storage_call(injector: FaultInjector, request: Any) -> Iterator[None]:
    if request.method in _HARMLESS:
        yield
        return
    name = f"{request.method} {_plain(request.url)}"
    injector.reach("before_request", name)
    yield
    injector.reach("after_request", name)


@contextmanager
def _file(injector: FaultInjector, root: Path, target: Path) -> Iterator[None]:
    if not target.is_relative_to(root):
        yield
        return
    name = _plain(target.relative_to(root).as_posix())
    injector.reach("before_file", name)
    yield
    injector.reach("after_file", name)


def _plain(url: str) -> str:
    return _ID.sub("{id}", urlsplit(url).path)


def _wrap(owner: Any, name: str, around: Callable[..., AbstractContextManager[None]]) -> None:
    """Wrap a function of a library in ``around``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with around(*args, **kwargs):
            return original(*args, **kwargs)

    setattr(owner, name, wrapped)
