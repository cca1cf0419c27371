"""Reads Content Credentials. Those of untrusted bytes are read by the guardrail's worker processes only."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import c2pa

from imagery.provenance import xmp
from imagery.provenance.credentials import (
    AI_SOURCES,
    MAX_ACTIONS,
    MAX_DEPTH,
    MAX_INGREDIENTS,
    MAX_REASONS,
    MAX_TEXT,
    CredentialAction,
    Credentials,
    CredentialsState,
    Ingredient,
    Manifest,
    worst,
)
from imagery.provenance.statuses import Codes, Statuses, as_list, as_object, ingredients_of, manifests
from imagery.text import plain

# a file without a manifest, or of a kind that has none
_NO_MANIFEST = (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported)
# the box of a manifest store, and its kind
_STORE_MARKS = (b"jumb", b"c2pa")
# how JUMBF names a box that is one; a long text is found five times faster than a short one
_STORE = b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
_XMP_MARK = b"DigitalSourceType"
_ELSEWHERE = "manifest.remote"
# how the library's message begins for a manifest at another host; it has no class of its own
_REMOTE = "Remote"
_UNREADABLE = "manifest.unreadable"
_CYCLE = "ingredient.cycle"
_RELATIONSHIPS = ("parentOf", "componentOf", "inputTo")


def read(data: bytes, context: c2pa.Context) -> Credentials:
    """What ``data``, a file of any kind, says of itself. Raises ``MemoryError`` and nothing else.

    ``context``: see ``imagery.provenance.trust``. A damaged manifest is a broken one, never none.
    """
    sources = xmp.source_types(data)
    says_ai = any(source in AI_SOURCES for source in sources)
    try:
        with c2pa.Reader(None, io.BytesIO(data), context=context) as reader:
            store = json.loads(reader.json())
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        return _unread(data, error, says_ai=says_ai)
    return summary(store, says_ai=says_ai)


def has_store(data: bytes) -> bool:
    """True if there may be a manifest in the file; that is found much faster than what it says."""
    return _STORE in data


def look(data: bytes, context: c2pa.Context) -> Credentials:
    """The same as ``read``, faster for a file that says nothing: most of those that are sent."""
    if has_store(data):
        return read(data, context)
    sources = xmp.source_types(data) if _XMP_MARK in data else ()
    return Credentials(state=CredentialsState.NONE, says_ai=any(source in AI_SOURCES for source in sources))


def summary(store: dict[str, Any], *, says_ai: bool = False) -> Credentials:
    """What a manifest store says, as the library's reader gives it. Raises nothing, whatever it holds."""
    return _Store(store).credentials(says_ai=says_ai)


def _unread(data: bytes, error: Exception, *, says_ai: bool) -> Credentials:
    if str(error).startswith(_REMOTE):
        return Credentials(state=CredentialsState.NONE, reasons=(_ELSEWHERE,), says_ai=says_ai)
    has_store = all(mark in data for mark in _STORE_MARKS)
    if isinstance(error, _NO_MANIFEST) or not has_store:
        return Credentials(state=CredentialsState.NONE, says_ai=says_ai)
    return Credentials(state=CredentialsState.BROKEN, reasons=(_UNREADABLE,), says_ai=says_ai)


class _Store:
    """A manifest store as the library gives it, walked from its top."""

    def __init__(self, store: dict[str, Any]) -> None:
        self._manifests = manifests(store)
        self._active = str(store.get("active_manifest"))
        self._is_invalid = str(store.get("validation_state")) not in {"Valid", "Trusted"}
        self._statuses = Statuses(store)
        self._listed: list[Ingredient] = []
        self._reasons: set[str] = set()
        self._is_cut = False
        self._says_ai = False

    def credentials(self, *, says_ai: bool) -> Credentials:
        top, failures = self._statuses.of_active(self._active)
        manifest = self._manifest(self._active, top, failures)
        state = worst(top, self._below(self._active, 1, (self._active,)))
        breaks = self._statuses.breaks()
        if self._is_invalid or breaks or manifest is None:
            state = CredentialsState.BROKEN
        self._reasons |= failures | breaks
        return Credentials(
            state=state,
            reasons=_reasons(self._reasons),
            manifest=manifest,
            ingredients=tuple(self._listed),
            is_cut=self._is_cut,
            says_ai=says_ai or self._says_ai,
        )

    def _below(self, owner: str, depth: int, way: tuple[str, ...]) -> CredentialsState:
        """The worst state of the ingredients of ``owner``, which are listed on the way."""
        states: list[CredentialsState] = []
        for ingredient in ingredients_of(self._manifests.get(owner, {})):
            if depth > MAX_DEPTH or len(self._listed) >= MAX_INGREDIENTS:
                # what is not looked at is not believed
                self._is_cut = True
                return worst(CredentialsState.VALID, *states)
            states.append(self._ingredient(owner, ingredient, depth, way))
        return worst(*states)

    def _ingredient(
        self, owner: str, ingredient: dict[str, Any], depth: int, way: tuple[str, ...]
    ) -> CredentialsState:
        label = str(ingredient.get("active_manifest"))
        found, failures = self._statuses.of_ingredient(owner, ingredient)
        has_manifest = label in self._manifests
        if not has_manifest and found is not CredentialsState.BROKEN:
            found, failures = CredentialsState.NONE, Codes()
        if label in way:
            found, failures, has_manifest = CredentialsState.BROKEN, failures | {_CYCLE}, False
        relationship = str(ingredient.get("relationship"))
        place = len(self._listed)
        entry = Ingredient(
            depth=depth,
            relationship=relationship if relationship in _RELATIONSHIPS else "unknown",
            title=_text(ingredient.get("title")),
            content_type=_text(ingredient.get("format")),
            state=found,
            reasons=_reasons(failures),
            manifest=self._manifest(label, found, failures) if has_manifest else None,
        )
        self._listed.append(entry)
        self._reasons |= failures
        if has_manifest:
            found = worst(found, self._below(label, depth + 1, (*way, label)))
            self._listed[place] = entry.model_copy(update={"state": found})
        return found

    def _manifest(self, label: str, state: CredentialsState, failures: Codes) -> Manifest | None:
        manifest = self._manifests.get(label)
        if manifest is None:
            return None
        every = list(_actions(manifest))
        actions = tuple(_action(each) for each in every[:MAX_ACTIONS])
        self._is_cut = self._is_cut or len(every) > MAX_ACTIONS
        sources = {str(each.get("digitalSourceType")) for each in every if each.get("digitalSourceType")}
        self._says_ai = self._says_ai or bool(sources & AI_SOURCES)
        signature = as_object(manifest.get("signature_info"))
        return Manifest(
            state=state,
            reasons=_reasons(failures),
            signer=_text(signature.get("common_name")),
            issuer=_text(signature.get("issuer")),
            signed_at=_text(signature.get("time")) if self._statuses.is_time_trusted(label) else None,
            claim_generator=_generator(manifest),
            digital_source_types=tuple(sorted(plain(each, MAX_TEXT) for each in sources)[:MAX_ACTIONS]),
            actions=actions,
        )


def _actions(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for assertion in map(as_object, as_list(manifest.get("assertions"))):
        if str(assertion.get("label")).startswith("c2pa.actions"):
            for action in as_list(as_object(assertion.get("data")).get("actions")):
                if isinstance(action, dict):
                    yield action


def _action(action: dict[str, Any]) -> CredentialAction:
    return CredentialAction(
        action=_text(action.get("action")) or "unknown",
        software_agent=_named(action.get("softwareAgent")),
        digital_source_type=_text(action.get("digitalSourceType")),
        when=_text(action.get("when")),
    )


def _generator(manifest: dict[str, Any]) -> str | None:
    named = manifest.get("claim_generator_info")
    first = named[0] if isinstance(named, list) and named else None
    return _named(first) or _text(manifest.get("claim_generator"))


def _named(agent: Any) -> str | None:
    """``name version`` of an object, or the text that older manifests have instead."""
    if not isinstance(agent, dict):
        return _text(agent)
    return _text(" ".join(str(agent[key]) for key in ("name", "version") if agent.get(key)))


def _text(value: Any) -> str | None:
    return plain(value, MAX_TEXT) or None if isinstance(value, str) else None


def _reasons(codes: Codes | set[str]) -> tuple[str, ...]:
    return tuple(sorted(plain(code, MAX_TEXT) for code in codes)[:MAX_REASONS])
