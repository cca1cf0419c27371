"""One more item in an AVIF file: its text of XMP. Nothing else of the file changes but the offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

_HEADER, _FULL = 8, 4
_XMP_TYPE = b"application/rdf+xml"
_MOST_ITEMS = 1000


class AvifError(ValueError):
    """The file is built in a way that this module does not change."""


@dataclass(frozen=True)
class _Box:
    kind: bytes
    body: bytes
    start: int
    end: int


@dataclass(frozen=True)
class _Location:
    """Where an item lies. ``method`` 0: offsets count from the file's start."""

    item: int
    method: int
    reference: int
    base: int
    extents: tuple[tuple[int, int, int], ...]

    def moved(self, by: int, behind: int) -> _Location:
        """The same item after ``by`` bytes were put in at ``behind``."""
        if self.method != 0:
            return self
        extents = tuple(
            (index, offset + (by if offset >= behind else 0), length)
            for index, offset, length in self.extents
        )
        return replace(self, extents=extents)


def with_xmp_item(data: bytes, xmp: bytes) -> bytes:
    """``data``, an AVIF file without XMP, with it. Raises ``AvifError``.

    The text lies behind the picture, in a box of its own.
    """
    meta = next((box for box in _boxes(data, 0) if box.kind == b"meta"), None)
    if meta is None:
        raise AvifError("the file has no box of items")
    inside = list(_boxes(meta.body, _FULL))
    found = {box.kind: box.body for box in inside}
    if not {b"iinf", b"iloc", b"pitm"} <= set(found):
        raise AvifError("the file has no items")
    if _XMP_TYPE in found[b"iinf"]:
        raise AvifError("the file has XMP already")
    locations = _Locations(found[b"iloc"])
    number = max(each.item for each in locations.items) + 1
    primary = _number(found[b"pitm"], _FULL, 2 if found[b"pitm"][0] == 0 else 4)
    changed = found | {
        b"iinf": _with_entry(found[b"iinf"], number),
        b"iref": _with_reference(found.get(b"iref", bytes(_FULL)), number, primary),
    }
    kinds = list(dict.fromkeys([*(box.kind for box in inside), b"iref"]))

    def built(by: int) -> bytes:
        text_at = len(data) + by + _HEADER
        changed[b"iloc"] = locations.with_item(number, text_at, len(xmp), by, meta.end)
        return _box(b"meta", meta.body[:_FULL] + b"".join(_box(kind, changed[kind]) for kind in kinds))

    growth = len(built(0)) - (meta.end - meta.start)
    return data[: meta.start] + built(growth) + data[meta.end :] + _box(b"mdat", xmp)


class _Locations:
    """The box ``iloc``."""

    def __init__(self, body: bytes) -> None:
        self._version = body[0]
        if self._version > 2:
            raise AvifError("items are located in a way that is not known")
        self._offset, self._length = body[4] >> 4, body[4] & 15
        self._base, self._index = body[5] >> 4, body[5] & 15 if self._version else 0
        self._wide = 4 if self._version == 2 else 2
        self._head = body[:6]
        self.items = list(self._read(body))
        if not self.items:
            raise AvifError("the file has no items")

    def _read(self, body: bytes) -> Iterator[_Location]:
        at = 6

        def take(size: int) -> int:
            nonlocal at
            at += size
            return _number(body, at - size, size)

        for _ in range(min(take(self._wide), _MOST_ITEMS)):
            item, method = take(self._wide), take(2) & 15 if self._version else 0
            reference, base = take(2), take(self._base)
            if base and method == 0:
                raise AvifError("items are located from a base")
            extents = tuple(
                (take(self._index), take(self._offset), take(self._length)) for _ in range(take(2))
            )
            yield _Location(item, method, reference, base, extents)

    def with_item(self, number: int, at: int, length: int, by: int, behind: int) -> bytes:
        """The box with one more item, and with those behind ``behind`` moved ``by`` bytes."""
        new = _Location(number, 0, 0, 0, ((0, at, length),))
        items = [*(each.moved(by, behind) for each in self.items), new]
        written = [self._written(each) for each in items]
        return self._head + len(items).to_bytes(self._wide) + b"".join(written)

    def _written(self, location: _Location) -> bytes:
        try:
            parts = [location.item.to_bytes(self._wide)]
            parts += [location.method.to_bytes(2)] if self._version else []
            parts += [location.reference.to_bytes(2), location.base.to_bytes(self._base)]
            parts += [len(location.extents).to_bytes(2)]
            for index, offset, length in location.extents:
                parts += [
                    index.to_bytes(self._index),
                    offset.to_bytes(self._offset),
                    length.to_bytes(self._length),
                ]
        except OverflowError as error:
            raise AvifError("the file is too large for its own offsets") from error
        return b"".join(parts)


def _with_entry(iinf: bytes, number: int) -> bytes:
    wide = 2 if iinf[0] == 0 else 4
    count = _number(iinf, _FULL, wide) + 1
    # version 2; no protection; the kind, no name, the media type
    entry = b"\x02\0\0\0" + number.to_bytes(2) + bytes(2) + b"mime\0" + _XMP_TYPE + b"\0"
    return iinf[:_FULL] + count.to_bytes(wide) + iinf[_FULL + wide :] + _box(b"infe", entry)


def _with_reference(iref: bytes, number: int, primary: int) -> bytes:
    wide = 2 if iref[0] == 0 else 4
    return iref + _box(b"cdsc", number.to_bytes(wide) + (1).to_bytes(2) + primary.to_bytes(wide))


def _boxes(data: bytes, at: int) -> Iterator[_Box]:
    while at < len(data):
        size, kind, body = _number(data, at, 4), data[at + 4 : at + 8], at + _HEADER
        if size == 1:
            size, body = _number(data, at + 8, 8), at + 2 * _HEADER
        end = at + size if size else len(data)
        if end > len(data) or end < body:
            raise AvifError("a box has no right size")
        yield _Box(kind, data[body:end], at, end)
        at = end


def _box(kind: bytes, body: bytes) -> bytes:
    return (_HEADER + len(body)).to_bytes(4) + kind + body


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise AvifError("a box ends too early")
    return int.from_bytes(data[at : at + size])
