"""The settings of the command line: the only place of it that reads the environment."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_URL = "http://127.0.0.1:7071"


class CliSettings(BaseSettings):
    """What ``python -m imagery.cli`` can be told by variables; options of the command line win."""

    model_config = SettingsConfigDict(env_prefix="IMAGERY_", extra="ignore", env_ignore_empty=True)

    url: str | None = Field(
        None, description=f"Base URL of the API; empty: the stack that runs here, else {DEFAULT_URL}."
    )
    api_key: SecretStr | None = Field(
        None, description="API key; empty: that of the stack that runs here, for its own URL alone."
    )
    run_dir: Path = Field(Path(".run"), description="Folder of the local stack, with state.json and api.key.")
    timeout_s: float = Field(60.0, gt=0, description="Time limit of one call.")
    poll_s: float = Field(2.0, ge=0, le=30, description="Longest wait of one look at a job.")
    patience_s: float = Field(
        60.0, ge=0, description="Time that a host which answered before may be away before watching ends."
    )
    parallel: int = Field(4, ge=1, le=64, description="Uploads, and downloads, at once.")
    max_photos: int = Field(1000, ge=1, description="Most photos of one submit.")
    busy_attempts: int = Field(5, ge=1, description="Attempts of an upload that is told to come later.")
    busy_wait_max_s: float = Field(120.0, ge=0, description="Longest such wait that is kept.")


@dataclass(frozen=True)
class Target:
    """Where to call, and who as."""

    url: str
    key: str | None


def choose_target(settings: CliSettings, url: str | None, key: str | None) -> Target:
    """Options first, then variables, then the stack that runs on this machine.

    The stack's key goes to no other address than the stack's.
    """
    state = _state(settings.run_dir / "state.json")
    local_url = str(state.get("urls", {}).get("host") or DEFAULT_URL)
    chosen = (url or settings.url or local_url).rstrip("/")
    given = key or (settings.api_key.get_secret_value() if settings.api_key else None)
    if given is None and chosen in {local_url.rstrip("/"), DEFAULT_URL}:
        given = state.get("api_key") or _kept_key(settings.run_dir / "api.key")
    return Target(chosen, given)


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
