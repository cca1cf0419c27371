"""Loads ``function_app.py`` and sorts its functions by trigger, as the real host indexes them."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func

from devhost.settings import setting

_log = logging.getLogger(__name__)
HANDLED = {
    "httpTrigger",
    "blobTrigger",
    "timerTrigger",
    "orchestrationTrigger",
    "activityTrigger",
    "entityTrigger",
}
_DURABLE = {"orchestrationTrigger", "activityTrigger", "entityTrigger"}
_SDK_MAJOR = "1"
_OTHER_BINDINGS = {"durableClient", "http"}


class LoadError(Exception):
    """The app can't be run by this host."""


@dataclass(frozen=True)
class Function:
    """One function: its handler, its trigger's properties and its durable client parameters."""

    name: str
    handler: Callable[..., Any]
    trigger_type: str
    trigger_name: str
    properties: dict[str, Any]
    client_parameters: tuple[str, ...]
    takes_context: bool

    @property
    def is_async(self) -> bool:
        """True if the handler must be awaited."""
        return inspect.iscoroutinefunction(self.handler)


@dataclass(frozen=True)
class App:
    """All functions by trigger type, then by name (durable: by the name in the trigger)."""

    functions: dict[str, dict[str, Function]] = field(default_factory=dict)

    def of(self, trigger_type: str) -> dict[str, Function]:
        """The functions with this trigger."""
        return self.functions.get(trigger_type, {})


def load(folder: Path) -> App:
    """Import ``function_app`` from ``folder``. Raises ``LoadError``."""
    if not (folder / "function_app.py").is_file():
        raise LoadError(f"there is no function_app.py in {folder}")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("function_app")
    except SystemExit as error:
        raise LoadError(f"function_app.py called sys.exit({error.code!r}) while it was imported") from error
    except Exception as error:
        _log.exception("function_app.py can't be imported")
        raise LoadError(f"function_app.py can't be imported: {type(error).__name__}: {error}") from error
    apps = {id(each): each for each in vars(module).values() if isinstance(each, func.FunctionRegister)}
    if len(apps) != 1:
        raise LoadError(f"function_app.py must define one app, not {len(apps)}")
    return index(apps.popitem()[1])


def index(app: func.FunctionRegister) -> App:
    """Sort the functions of ``app``; the SDK allows that once per app. Raises ``LoadError``."""
    functions: dict[str, dict[str, Function]] = {}
    for each in app.get_functions():
        function = _function(each)
        if _is_disabled(function.name):
            _log.info("function %s is disabled by a setting", function.name)
            continue
        functions.setdefault(function.trigger_type, {})[_key(function)] = function
    if _DURABLE & functions.keys():
        _check_sdk()
    return App(functions)


def _check_sdk() -> None:
    """Raises ``LoadError`` for an SDK whose protocol this host does not know."""
    version = importlib.metadata.version("azure-functions-durable")
    if version.partition(".")[0] != _SDK_MAJOR:
        raise LoadError(
            f"this host drives version {_SDK_MAJOR} of azure-functions-durable, and {version} is installed"
        )


def _is_disabled(name: str) -> bool:
    """As in the cloud: ``AzureWebJobs.<function>.Disabled``, with ``__`` where a dot is not allowed."""
    names = (f"AzureWebJobs.{name}.Disabled", f"AzureWebJobs__{name}__Disabled")
    return any((setting(each) or "").lower() in {"true", "1"} for each in names)


def _function(built: Any) -> Function:
    trigger = built.get_trigger()
    kind = str(trigger.type)
    if kind not in HANDLED:
        raise LoadError(f"function {built.get_function_name()}: this host has no {kind}")
    handler = built.get_user_function()
    others = {str(binding.type) for binding in built.get_bindings()} - {kind} - _OTHER_BINDINGS
    if others:
        raise LoadError(f"function {built.get_function_name()}: this host has no bindings {sorted(others)}")
    clients = [binding.name for binding in built.get_bindings() if binding.type == "durableClient"]
    return Function(
        name=built.get_function_name(),
        handler=handler,
        trigger_type=kind,
        trigger_name=trigger.name,
        properties=trigger.get_dict_repr(),
        client_parameters=tuple(clients),
        takes_context="context" in inspect.signature(handler).parameters and trigger.name != "context",
    )


def _key(function: Function) -> str:
    """Durable functions are called by the name in their trigger, if it has one."""
    for name in ("orchestration", "activity", "entityName", "entity_name"):
        if function.properties.get(name):
            return str(function.properties[name])
    return function.name
