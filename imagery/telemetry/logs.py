"""Structured log lines: one JSON object a line, through stdlib logging so that Functions shows them.

Keys of every line: ``timestamp, level, event, job_id, version, stage``, then ``duration_ms`` and
``vram_used_gb`` where measured, then what the event itself brings.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, merge_contextvars

from imagery import __version__
from imagery.settings import old_settings
from imagery.telemetry.redaction import redact_line

_FIRST_KEYS = ("timestamp", "level", "event", "job_id", "version", "stage", "duration_ms", "vram_used_gb")
_ALWAYS = ("job_id", "stage")
_CHATTY = (
    "alembic",
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.functions",
    "azure.identity",
    "durabletask",
    "httpcore",
    "httpx",
)


def _shape(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the agreed keys first and make those that every line has present, if only as null."""
    line.setdefault("version", __version__)
    for key in _ALWAYS:
        line.setdefault(key, None)
    ordered = {key: line[key] for key in _FIRST_KEYS if key in line}
    return ordered | {key: value for key, value in line.items() if key not in ordered}


_SHARED: list[structlog.types.Processor] = [
    merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    redact_line,
]


def configure_logging(level: str = "INFO", *, handler: logging.Handler | None = None) -> None:
    """Make every log line of this process JSON. Call once, at start.

    ``handler`` None keeps the handlers the host has installed (Azure Functions) and adds one to stderr
    only where there is none, so that no line is written twice.
    """
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _shape,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    root = logging.getLogger()
    if handler is not None:
        root.addHandler(handler)
    elif not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr))
    for each in root.handlers:
        each.setFormatter(formatter)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def warn_of_old_settings() -> None:
    """Log one line if variables with names of an earlier version are set. Call it once, at start."""
    detail = old_settings()
    if detail:
        get_logger(__name__).warning("old_settings", detail=detail)


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    """The line of ``record`` as a mapping, redacted; called by the thread that logs, whose context it has."""
    if isinstance(record.msg, dict):
        line: MutableMapping[str, Any] = dict(record.msg)
    else:
        line = {"event": record.getMessage(), "_record": record}
        if record.exc_info:
            line["exc_info"] = record.exc_info
        for processor in _SHARED:
            line = processor(None, record.levelname.lower(), line)  # type: ignore[assignment]
    return {name: value for name, value in _shape(None, "", line).items() if not name.startswith("_")}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def log_context(**values: Any) -> Iterator[None]:
    """Bind ``job_id``, ``stage`` and the like to every line logged inside the block."""
    with bound_contextvars(**values):
        yield


__all__ = ["bind_contextvars", "configure_logging", "get_logger", "log_context", "warn_of_old_settings"]
