"""Blob triggers by polling: each version of a blob once, retried with growing waits, then given up."""

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

from devhost.app import App, Function
from devhost.blob_sources import AzureBlobs, BlobSource, BlobVersion, FolderBlobs
from devhost.invocation import Invoker
from devhost.receipts import Key, Receipts
from devhost.settings import HostSettings, SettingsError, resolve, setting

_log = logging.getLogger(__name__)
_STOP_S = 0.5
_LONGEST_PAUSE_S = 5.0
_WAITING_PER_THREAD = 4


class BlobTrigger:
    """One function and the blobs it waits for. Raises ``SettingsError``."""

    def __init__(self, function: Function) -> None:
        self.function = function
        path = resolve(str(function.properties["path"]))
        self.container, _, pattern = path.partition("/")
        if "{" in self.container or not pattern:
            raise SettingsError(f"blob path {path}: this host needs container/name, the container in full")
        self._pattern = _compile(pattern)
        name = resolve(str(function.properties.get("connection") or "AzureWebJobsStorage"))
        connection = setting(name)
        folder = Path(setting("LOCAL_STORAGE_PATH") or "data")
        try:
            self.source: BlobSource = AzureBlobs(connection) if connection else FolderBlobs(folder)
        except ValueError as error:
            raise SettingsError(f"the setting {name} is not a connection string: {error}") from error
        hint = get_type_hints(function.handler).get(function.trigger_name)
        self._wants_client = isinstance(hint, type) and issubclass(hint, BlobClient)

    def matches(self, name: str) -> bool:
        """True if the path pattern matches."""
        return self._pattern.fullmatch(name) is not None

    def value(self, blob: BlobVersion) -> Any:
        """Returns the handler's argument: a client, or a stream of the content."""
        if self._wants_client:
            return self.source.client(blob)
        data = self.source.read(blob)
        path = f"{blob.container}/{blob.name}"
        properties = {"ETag": blob.etag, "ContentLength": len(data)}
        return InputStream(data=data, name=path, length=len(data), blob_properties=properties)


class BlobPoller:
    """Polls the containers."""

    def __init__(self, settings: HostSettings, app: App, invoker: Invoker) -> None:
        self._triggers = [BlobTrigger(each) for each in app.of("blobTrigger").values()]
        self._settings = settings
        self._invoker = invoker
        self._receipts = Receipts(settings.state_dir / "blob-receipts.db")
        self._pool = ThreadPoolExecutor(settings.max_blobs, thread_name_prefix="blob")
        self._most_waiting = settings.max_blobs * _WAITING_PER_THREAD
        self._running: set[Key] = set()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="blobs", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        if self._triggers:
            self._thread.start()

    def stop(self) -> None:
        """Stop polling; deliveries under way go on."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _main(self) -> None:
        failures = 0
        poll_s = self._settings.blob_poll_s
        while not self._stopping.wait(min(poll_s * 2**failures, max(poll_s, _LONGEST_PAUSE_S))):
            problem = self._round()
            if problem is None:
                if failures:
                    _log.info("blob storage responds again")
                failures = 0
            else:
                if not failures:
                    _log.warning("blob storage can't be listed, trying again: %s", problem)
                failures = min(failures + 1, 10)

    def _round(self) -> Exception | None:
        """Poll once; storage that is unreachable for a while must not end the triggers."""
        problem = None
        for trigger in self._triggers:
            try:
                self._look(trigger)
            except Exception as error:
                problem = error
        return problem

    def _look(self, trigger: BlobTrigger) -> None:
        try:
            blobs = trigger.source.blobs(trigger.container)
            for blob in blobs:
                if self._stopping.is_set():
                    return
                if trigger.matches(blob.name):
                    self._offer(trigger, blob)
        except (ResourceNotFoundError, FileNotFoundError):
            trigger.source.prepare(trigger.container)

    def _offer(self, trigger: BlobTrigger, blob: BlobVersion) -> None:
        key = (trigger.function.name, blob.container, blob.name, blob.etag)
        with self._changed:
            # a full queue holds up the listing; the next one reaches the rest
            self._changed.wait_for(lambda: len(self._running) < self._most_waiting or self._stopping.is_set())
            if key in self._running or self._stopping.is_set() or not self._receipts.is_due(key):
                return
            self._running.add(key)
        self._pool.submit(self._deliver, trigger, blob, key)

    def _deliver(self, trigger: BlobTrigger, blob: BlobVersion, key: Key) -> None:
        try:
            self._invoker.call_from_thread(trigger.function, trigger.value(blob))
            self._receipts.done(key)
        except Exception as error:
            self._failed(trigger, blob, key, error)
        finally:
            with self._changed:
                self._running.discard(key)
                self._changed.notify_all()

    def _failed(self, trigger: BlobTrigger, blob: BlobVersion, key: Key, error: Exception) -> None:
        missing = isinstance(error, ResourceNotFoundError | FileNotFoundError)
        if missing and not self._exists(trigger, blob):
            _log.info("%s/%s was deleted before its turn", blob.container, blob.name)
            return
        limit = self._settings.poison_after
        attempts = self._receipts.failed(key, limit)
        # outside the except block, so the traceback is passed explicitly
        _log.error(
            "%s failed for %s/%s (attempt %s of %s)",
            trigger.function.name,
            blob.container,
            blob.name,
            attempts,
            limit,
            exc_info=error,
        )
        if attempts >= limit:
            _log.error("%s/%s is poison: not tried again in this version", blob.container, blob.name)

    def _exists(self, trigger: BlobTrigger, blob: BlobVersion) -> bool:
        try:
            return trigger.source.exists(blob)
        except Exception:
            return True


def _compile(pattern: str) -> re.Pattern[str]:
    """``{name}`` matches anything, slashes too, as in the real host."""
    parts = re.split(r"(\{\w+\})", pattern)
    text = "".join(".+" if part.startswith("{") else re.escape(part) for part in parts)
    return re.compile(text, re.DOTALL)
