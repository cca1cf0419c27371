"""Manifests that are made to harm their reader: oversized, nested, cyclic, lying, and damaged at random."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import c2pa

from imagery.provenance.local_authority import LocalSigner, issue
from testbed.credentials import TYPES, Part, camera_photo, manifest_of, model_answer, signed
from testbed.pictures import encoded

_PNG_START = 8
_URN = re.compile(rb"urn:c2pa:[0-9a-f-]{36}")
# how the box of a store begins: its kind, and that of its description
_STORE = b"jumb"


@dataclass(frozen=True)
class Hostile:
    """One file, by a name that says what is wrong with it."""

    name: str
    data: bytes


def hostile_manifests(mutations: int = 75, seed: int = 7) -> Iterator[Hostile]:
    """All of them. ``mutations``: of real ones, the same for the same ``seed``."""
    signer = issue("Hostile CA", "Nobody")
    for name, make in _BUILT.items():
        yield Hostile(name, make(signer))
    yield from damaged_manifests(signer, mutations, seed)


def _small() -> bytes:
    return encoded(size=(16, 16))


def _with_assertion(signer: LocalSigner, data: Any) -> bytes:
    manifest = manifest_of("Hostile", "digitalCapture")
    manifest["assertions"] = [*manifest["assertions"], {"label": "org.example.data", "data": data}]
    return signed(signer, _small(), "image/png", manifest)


def _deep_json(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _chain(signer: LocalSigner, depth: int) -> bytes:
    picture = camera_photo(signer, "PNG")
    for _ in range(depth):
        picture = model_answer(signer, ("inputTo", "image/png", picture))
    return picture


def _many(signer: LocalSigner, count: int, part: bytes) -> bytes:
    parts: list[Part] = [("componentOf", "image/png", part)] * count
    return signed(signer, _small(), "image/png", manifest_of("Hostile", "digitalCapture"), *parts)


def remote(signer: LocalSigner, url: str = "http://127.0.0.1:9/manifest.c2pa") -> bytes:
    """A PNG that names a manifest at ``url``, and holds none."""
    out = io.BytesIO()
    native = c2pa.Signer.from_callback(
        lambda message: signer.sign_digest(message[:32]), c2pa.C2paSigningAlg.ES256, signer.chain_pem
    )
    settings = {"version": 1, "verify": {"verify_after_sign": False}}
    context = c2pa.Context.from_json(json.dumps(settings))
    with c2pa.Builder(json.dumps(manifest_of("Hostile", "digitalCapture")), context=context) as builder:
        builder.set_no_embed()
        builder.set_remote_url(url)
        builder.sign(native, "image/png", io.BytesIO(_small()), out)
    return out.getvalue()


def _cyclic(signer: LocalSigner, *order: int) -> bytes:
    """A chain whose manifests' names are exchanged: the one below has the one above as its ingredient."""
    data = _chain(signer, len(order) - 1)
    names = sorted(set(_URN.findall(data)))
    exchanged = {name: names[place] for name, place in zip(names, order, strict=True)}
    # only names inside of references: those of the boxes stay
    return _repaired(re.sub(rb"(?<=/c2pa/)" + _URN.pattern, lambda found: exchanged[found.group()], data))


def _boxes(signer: LocalSigner, store: bytes) -> bytes:
    """A PNG whose store is ``store``."""
    whole = camera_photo(signer, "PNG")
    return b"".join(
        _chunk(b"caBX", store) if kind == b"caBX" else _chunk(kind, body) for kind, body in _chunks(whole)
    )


def _box(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", (len(body) + 8 if size is None else size) & 0xFFFFFFFF) + kind + body


def _description(label: bytes) -> bytes:
    return _box(b"jumd", b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03" + label + b"\0")


def _nested(depth: int) -> bytes:
    box = b""
    for _ in range(depth):
        box = _box(_STORE, _description(b"c2pa") + box)
    return box


def _store_of(signer: LocalSigner) -> bytes:
    return next(body for kind, body in _chunks(camera_photo(signer, "PNG")) if kind == b"caBX")


_BUILT: dict[str, Callable[[LocalSigner], bytes]] = {
    "a text of 900 kB": lambda s: _with_assertion(s, {"text": "x" * 900_000}),
    "a hundred thousand numbers": lambda s: _with_assertion(s, {"numbers": [255] * 100_000}),
    "fifty thousand keys": lambda s: _with_assertion(s, {f"key{n}": n for n in range(50_000)}),
    "a hundred lists in each other": lambda s: _with_assertion(s, _deep_json(100)),
    "a name of 900 kB": lambda s: signed(
        s, _small(), "image/png", manifest_of("N" * 900_000, "digitalCapture")
    ),
    "control characters and a lone direction mark": lambda s: signed(
        s, _small(), "image/png", manifest_of("\x1b[31m\u202eexe\0", "digitalCapture")
    ),
    "a chain of forty": lambda s: _chain(s, 40),
    "five hundred ingredients": lambda s: _many(s, 500, _small()),
    "sixty ingredients with manifests": lambda s: _many(s, 60, camera_photo(s, "PNG")),
    "a manifest elsewhere": remote,
    "a manifest that is its own ingredient": lambda s: _cyclic(s, 0, 0),
    "two manifests that are each other's ingredient": lambda s: _cyclic(s, 1, 0),
    "three manifests in a circle": lambda s: _cyclic(s, 1, 2, 0),
    "an empty store": lambda s: _boxes(s, b""),
    "a store of zeros": lambda s: _boxes(s, bytes(10_000)),
    "a store of 20 MB of zeros": lambda s: _boxes(s, bytes(20_000_000)),
    "boxes in each other, 50": lambda s: _boxes(s, _nested(50)),
    "boxes in each other, 20 000": lambda s: _boxes(s, _nested(20_000)),
    "a box that says it has 4 GB": lambda s: _boxes(s, _box(_STORE, _description(b"c2pa"), 0xFFFFFFFF)),
    "a box of size 0": lambda s: _boxes(s, _box(_STORE, _description(b"c2pa"), 0)),
    "a box of size 2": lambda s: _boxes(s, _box(_STORE, _description(b"c2pa"), 2)),
    "a box of 2 to the 63": lambda s: _boxes(
        s, _box(_STORE, struct.pack(">Q", 2**63) + _description(b"c2pa"), 1)
    ),
    "a hundred thousand empty boxes": lambda s: _boxes(
        s, _box(_STORE, _description(b"c2pa") + _box(b"free", b"") * 100_000)
    ),
    "CBOR of a thousand lists in each other": lambda s: _boxes(
        s, _store_of(s).replace(b"cbor", b"cbor" + b"\x9f" * 1000, 1)
    ),
    "a store that stands twice": lambda s: _twice(camera_photo(s, "PNG")),
    "a signature of zeros": lambda s: _boxes(s, _without_signature(_store_of(s))),
}


def _twice(data: bytes) -> bytes:
    chunks = [
        chunk for kind, body in _chunks(data) for chunk in [_chunk(kind, body)] * (1 + (kind == b"caBX"))
    ]
    return data[:_PNG_START] + b"".join(chunks[1:])


def _without_signature(store: bytes) -> bytes:
    at = store.rindex(b"c2pa.signature") + 40
    return store[:at] + bytes(len(store) - at)


def damaged_manifests(signer: LocalSigner, count: int = 75, seed: int = 7) -> Iterator[Hostile]:
    """Real ones with changes at random places, the same for the same ``seed``."""
    kinds, chance = list(TYPES), random.Random(seed)
    whole = [camera_photo(signer, kind) for kind in kinds]
    whole += [
        model_answer(signer, ("inputTo", TYPES[kind], data)) for kind, data in zip(kinds, whole, strict=True)
    ]
    for number in range(count):
        data = bytearray(whole[number % len(whole)])
        begin = data.index(_STORE)
        how = chance.choice(["bits", "bytes", "sizes", "cut", "copy"])
        for _ in range(chance.choice([1, 4, 40])):
            at = chance.randrange(begin, min(len(data), begin + 12_000))
            if how == "bits":
                data[at] ^= 1 << chance.randrange(8)
            elif how == "bytes":
                data[at : at + 4] = chance.randbytes(4)
            elif how == "sizes":
                data[at : at + 4] = chance.choice(
                    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"]
                )
            elif how == "copy":
                other = chance.randrange(begin, len(data))
                data[at : at + 200] = data[other : other + 200]
            elif len(data) > begin + 200:
                del data[at : at + chance.randrange(1, 100)]
        yield Hostile(f"{how} {number}", bytes(data) if chance.random() < 0.5 else _repaired(bytes(data)))


def _repaired(data: bytes) -> bytes:
    """A PNG with its check sums right again, where its chunks can still be told apart."""
    if not data.startswith(b"\x89PNG"):
        return data
    return data[:_PNG_START] + b"".join(_chunk(kind, body) for kind, body in list(_chunks(data))[1:])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG; the first has no kind, and is what stands before them."""
    yield b"", data[:_PNG_START]
    at = _PNG_START
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : end]
        at = end + 4


def _chunk(kind: bytes, body: bytes) -> bytes:
    if not kind:
        return body
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
