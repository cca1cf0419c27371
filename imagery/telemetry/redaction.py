"""Keeps secrets out of log lines and events, wherever in them they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

HIDDEN = "***"
_SECRET_NAMES = re.compile(
    r"(?:^|[_-])(?:(?:api|access|account|signing|functions)[_-]?key|secret|password|passwd|pwd|token|"
    r"authorization|cookie|connection[_-]?string|sas)s?$",
    re.IGNORECASE,
)
_PATTERNS = (
    # our own keys keep the part that names them
    (re.compile(r"\b(igp_[a-z2-9]{10}_)[A-Za-z0-9_-]{20,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\bigs_[A-Za-z0-9_-]{20,}"), f"igs_{HIDDEN}"),
    # who knows the path of such a hook may write to it
    (
        re.compile(
            r"(\bhooks\.slack\.com/services/|\bdiscord(?:app)?\.com/api/webhooks/|\bwebhook\.office\.com/)[^\s\"']+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]{8,}"), f"whsec_{HIDDEN}"),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"), HIDDEN),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), HIDDEN),
    (
        re.compile(
            r"\b(AccountKey|SharedAccessKey|SharedAccessSignature|sig|password|pwd|(?:x-)?(?:goog-)?api[_-]?key|"
            r"x-functions-key|(?:[a-z]+[_-])*(?:token|secret))(\"?'?\s*[=:]\s*[\"']?)[^\s\"'&;,)}\]]{6,}",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"([?&](?:code|key|sig|se|sv)=)[^\s&\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
)


def redact(value: Any) -> Any:
    """``value`` without what looks like a secret; JSON types stay as they are, other types become text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {name: _named(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [redact(each) for each in value]
    text = value if isinstance(value, str) else str(value)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_line(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: what structlog keeps for itself stays, everything else is redacted."""
    return {name: value if name.startswith("_") else _named(name, value) for name, value in line.items()}


def _named(name: str, value: Any) -> Any:
    if value and isinstance(value, str | bytes) and _SECRET_NAMES.search(name):
        return HIDDEN
    return redact(value)
