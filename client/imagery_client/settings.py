"""Where to call and with which key: the only place of the client that reads the environment."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr

DEFAULT_URL = "http://127.0.0.1:7071"
_PREFIX = "IMAGERY_"


class ClientSettings(BaseModel):
    """What variables may say; options of the command line win. An empty variable counts as not set."""

    model_config = ConfigDict(frozen=True)

    url: str | None = None
    api_key: SecretStr | None = None
    run_dir: Path = Path(".run")

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """The settings of ``IMAGERY_*`` variables."""
        given = {name: variables.get(variable_name(name)) for name in cls.model_fields}
        return cls.model_validate({name: value for name, value in given.items() if value})


def variable_name(field: str) -> str:
    """The environment variable of a field of ``ClientSettings``."""
    return f"{_PREFIX}{field}".upper()


@dataclass(frozen=True)
class ApiTarget:
    """The API's base URL and the key that is sent to it."""

    url: str
    key: str | None


def choose_target(settings: ClientSettings, url: str | None, key: str | None) -> ApiTarget:
    """Options first, then variables, then the stack that runs on this machine.

    The stack's key goes to no other address than the stack's.
    """
    state = _state(settings.run_dir / "state.json")
    local_url = str(state.get("urls", {}).get("host") or DEFAULT_URL)
    chosen = (url or settings.url or local_url).rstrip("/")
    given = key or (settings.api_key.get_secret_value() if settings.api_key else None)
    if given is None and chosen in {local_url.rstrip("/"), DEFAULT_URL}:
        given = state.get("api_key") or _kept_key(settings.run_dir / "api.key")
    return ApiTarget(chosen, given)


def _state(file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        state = json.loads(file.read_text())
        if isinstance(state, dict):
            return state
    return {}


def _kept_key(file: Path) -> str | None:
    with contextlib.suppress(OSError):
        return file.read_text().strip() or None
    return None
