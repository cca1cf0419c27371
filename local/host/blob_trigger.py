"""Blob triggers by polling: each version of a blob once, retried with growing waits, then poison."""

from __future__ import annotations

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_type_hints

from azure.core.exceptions import ResourceNotFoundError
from azure.functions.blob import InputStream
from azure.storage.blob import BlobClient

from local.host.app import App, Function
from local.host.blob_sources import AzureBlobs, BlobSource, BlobVersion, FolderBlobs
from local.host.invocation import Invoker
from local.host.receipts import Receipts
from local.host.settings import HostSettings, resolve, setting

_log = logging.getLogger(__name__)
_STOP_S = 2.0
_LONGEST_PAUSE_S = 30.0


class BlobTrigger:
    """One function and the blobs it waits for."""

    def __init__(self, function: Function) -> None:
        self.function = function
        container, _, pattern = resolve(str(function.properties["path"])).partition("/")
        self.container = container
        self._pattern = _compile(pattern)
        connection = setting(str(function.properties.get("connection") or "AzureWebJobsStorage"))
        self.source: BlobSource = (
            AzureBlobs(connection)
            if connection
            else FolderBlobs(Path(setting("LOCAL_STORAGE_PATH") or "data"))
        )

    def matches(self, name: str) -> bool:
        """True when the path pattern fits."""
        return self._pattern.fullmatch(name) is not None

    def value(self, blob: BlobVersion) -> Any:
        """What the handler's parameter is bound to: a client, or a stream of the content."""
        hint = get_type_hints(self.function.handler).get(self.function.trigger_name)
        if isinstance(hint, type) and issubclass(hint, BlobClient):
            return self.source.client(blob)
        data = self.source.read(blob)
        path = f"{blob.container}/{blob.name}"
        properties = {"ETag": blob.etag, "ContentLength": blob.size}
        return InputStream(data=data, name=path, length=len(data), blob_properties=properties)


class BlobPoller:
    """Looks into the containers again and again."""

    def __init__(self, settings: HostSettings, app: App, invoker: Invoker) -> None:
        self._triggers = [BlobTrigger(each) for each in app.of("blobTrigger").values()]
        self._settings = settings
        self._invoker = invoker
        self._receipts = Receipts(settings.state_dir / "blob-receipts.db")
        self._pool = ThreadPoolExecutor(settings.max_blobs, thread_name_prefix="blob")
        self._running: set[tuple[str, str, str, str]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="blobs", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if self._triggers:
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _main(self) -> None:
        pause = self._settings.blob_poll_s
        while not self._stopping.wait(pause):
            pause = self._settings.blob_poll_s
            for trigger in self._triggers:
                try:
                    self._look(trigger)
                except ResourceNotFoundError:
                    trigger.source.prepare(trigger.container)
                except Exception as error:
                    # storage that is away for a while must not end the trigger
                    _log.warning("can't list %s: %s", trigger.container, error)
                    pause = min(_LONGEST_PAUSE_S, pause * 2)

    def _look(self, trigger: BlobTrigger) -> None:
        if isinstance(trigger.source, FolderBlobs):
            trigger.source.prepare(trigger.container)
        for blob in trigger.source.blobs(trigger.container):
            key = (trigger.function.name, blob.container, blob.name, blob.etag)
            if not trigger.matches(blob.name) or not self._receipts.is_due(key):
                continue
            with self._lock:
                if key in self._running or self._stopping.is_set():
                    continue
                self._running.add(key)
            self._pool.submit(self._deliver, trigger, blob, key)

    def _deliver(self, trigger: BlobTrigger, blob: BlobVersion, key: tuple[str, str, str, str]) -> None:
        try:
            self._invoker.call_from_thread(trigger.function, trigger.value(blob))
        except (ResourceNotFoundError, FileNotFoundError):
            _log.info("%s/%s was gone before its turn", blob.container, blob.name)
        except Exception:
            attempts = self._receipts.failed(key, self._settings.poison_after)
            _log.exception(
                "%s failed for %s/%s (attempt %s of %s)",
                trigger.function.name,
                blob.container,
                blob.name,
                attempts,
                self._settings.poison_after,
            )
        else:
            self._receipts.done(key)
        finally:
            with self._lock:
                self._running.discard(key)


def _compile(pattern: str) -> re.Pattern[str]:
    """``{name}`` stands for anything, slashes too, as in the real host."""
    parts = re.split(r"(\{\w+\})", pattern)
    return re.compile("".join(".+" if part.startswith("{") else re.escape(part) for part in parts))
