"""Status codes of C2PA in a manifest store: which manifest they speak of, and what they mean for it.

A store holds statuses in two places. An ingredient's assertion has those that its signer recorded when the
ingredient was added, some of them of ingredients below it. The reader adds those of today, but only where
nobody recorded the same before. Signers can record what they like, and with it hide what the reader would
add. So what was recorded may make a state worse; it makes none better that anyone in the store doubts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagery.provenance.credentials import CredentialsState

TRUSTED, UNTRUSTED = "signingCredential.trusted", "signingCredential.untrusted"
_FAILURE = "failure"
_KINDS = (_FAILURE, "success", "informational")
# failures that leave a manifest intact
_HARMLESS = {UNTRUSTED, "timeStamp.untrusted", "signingCredential.ocsp.unknown"}
# failures by their names, wherever a signer recorded them
_FAILED_ENDS = (".mismatch", ".missing", ".invalid", ".malformed", ".revoked")
_TIME_STAMP = "timeStamp."
_SUCCESS_ENDS = (".validated", ".match", ".trusted", ".insideValidity", ".notRevoked")
Codes = frozenset[str]


@dataclass(frozen=True)
class _Status:
    """``place``: of the ingredient's assertion; empty for the manifest on top. ``label``: in its URL."""

    place: str
    code: str
    label: str
    is_failure: bool
    is_current: bool = False

    @property
    def breaks(self) -> bool:
        by_name = self.code.endswith(_FAILED_ENDS) and not self.code.startswith(_TIME_STAMP)
        return by_name or (self.is_failure and self.code not in _HARMLESS)


class Statuses:
    """All statuses of one store, as its reader wrote them."""

    def __init__(self, store: dict[str, Any]) -> None:
        results = as_object(store.get("validation_results"))
        self._all = [*_of_results("", results, is_current=True)]
        self._labels: dict[str, str] = {}
        for owner, manifest in manifests(store).items():
            for ingredient in ingredients_of(manifest):
                place = _place(owner, ingredient)
                self._labels[place] = str(ingredient.get("active_manifest"))
                self._all += _of_ingredient(place, ingredient)

    def of_active(self, label: str) -> tuple[CredentialsState, Codes]:
        """State of the manifest on top, and the codes of what is wrong with it."""
        codes = self._wrong("")
        own = {each.code for each in self._all if not each.place}
        is_trusted = TRUSTED in own and not any(each.code == UNTRUSTED for each in self._of_label(label))
        return _state(codes, is_trusted=is_trusted), codes

    def of_ingredient(self, owner: str, ingredient: dict[str, Any]) -> tuple[CredentialsState, Codes]:
        """The same of an ingredient of manifest ``owner``."""
        codes = self._wrong(_place(owner, ingredient)) - {UNTRUSTED}
        label = ingredient.get("active_manifest")
        is_trusted = self._is_trusted(str(label))
        doubt = Codes() if is_trusted or label is None else Codes({UNTRUSTED})
        return _state(codes, is_trusted=is_trusted), codes | doubt

    def is_time_trusted(self, label: str) -> bool:
        """True if the time stamp of a manifest is of an authority that we trust."""
        codes = {each.code for each in self._of_label(label)}
        return f"{_TIME_STAMP}trusted" in codes and f"{_TIME_STAMP}untrusted" not in codes

    def breaks(self) -> Codes:
        """Codes of everything that is broken anywhere in the store."""
        return frozenset(each.code for each in self._all if each.breaks)

    def _is_trusted(self, label: str) -> bool:
        found = list(self._of_label(label))
        now = {each.code for each in found if each.is_current}
        ever = {each.code for each in found}
        return UNTRUSTED not in now and (TRUSTED in now or (TRUSTED in ever and UNTRUSTED not in ever))

    def _of_label(self, label: str) -> Iterator[_Status]:
        for each in self._all:
            if label in (each.label, self._labels.get(each.place)):
                yield each

    def _wrong(self, place: str) -> Codes:
        found = [each for each in self._all if each.place == place]
        return frozenset(each.code for each in found if each.is_failure or each.breaks)


def manifests(store: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The manifests of a store by their labels."""
    return {
        label: each for label, each in as_object(store.get("manifests")).items() if isinstance(each, dict)
    }


def ingredients_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The ingredients of a manifest."""
    return [each for each in as_list(manifest.get("ingredients")) if isinstance(each, dict)]


def _state(codes: Codes, *, is_trusted: bool) -> CredentialsState:
    if any(code not in _HARMLESS for code in codes):
        return CredentialsState.BROKEN
    return CredentialsState.TRUSTED if is_trusted else CredentialsState.VALID


def _place(owner: str, ingredient: dict[str, Any]) -> str:
    return f"/c2pa/{owner}/c2pa.assertions/{ingredient.get('label')}"


def _of_ingredient(place: str, ingredient: dict[str, Any]) -> Iterator[_Status]:
    yield from _of_results(place, as_object(ingredient.get("validation_results")), is_current=False)
    # as versions 1 and 2 record them: successes may stand between the failures
    for status in as_list(ingredient.get("validation_status")):
        code = str(as_object(status).get("code"))
        yield _status(place, status, is_failure=not code.endswith(_SUCCESS_ENDS), is_current=False)


def _of_results(place: str, results: dict[str, Any], *, is_current: bool) -> Iterator[_Status]:
    found = [(place, as_object(results.get("activeManifest")))]
    for delta in map(as_object, as_list(results.get("ingredientDeltas"))):
        below = str(delta.get("ingredientAssertionURI")).removeprefix("self#jumbf=")
        found.append((below, as_object(delta.get("validationDeltas"))))
    for where, statuses in found:
        for kind in _KINDS:
            for status in as_list(statuses.get(kind)):
                yield _status(where, status, is_failure=kind == _FAILURE, is_current=is_current)


def _status(place: str, status: Any, *, is_failure: bool, is_current: bool) -> _Status:
    fields = as_object(status)
    _, _, rest = str(fields.get("url")).partition("/c2pa/")
    return _Status(place, str(fields.get("code")), rest.partition("/")[0], is_failure, is_current)


def as_object(value: Any) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one: a store may hold anything anywhere."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
