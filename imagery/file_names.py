"""Names of photos as people gave them: kept, and made into the names of downloads."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from imagery.text import plain

MAX_FILE_NAME = 255
_MAX_GIVEN = 4096
# what RFC 5987 lets stand unescaped beside letters and digits
_ATTR_CHARS = "!#$&+-.^_`|~"


def file_name(given: str | None) -> str | None:
    """The last part of a path that a sender gives, of characters that can be shown; its suffix is kept.

    Returns None if nothing is left of it.
    """
    last = (given or "")[-_MAX_GIVEN:].replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = plain(last, _MAX_GIVEN).strip(" .").rpartition(".")
    if not dot:
        return suffix[:MAX_FILE_NAME] or None
    suffix = suffix[:20]
    return f"{stem[: MAX_FILE_NAME - len(suffix) - 1]}.{suffix}"


def stem_of(name: str) -> str:
    """A file's name without its suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot else suffix


def content_disposition(name: str, *, is_download: bool) -> str:
    """The header's value (RFC 6266), in ASCII: readers that know only ``filename`` get it without accents."""
    decomposed = unicodedata.normalize("NFKD", name)
    simple = "".join(
        letter if letter.isascii() else "_" for letter in decomposed if not unicodedata.combining(letter)
    )
    simple = simple.translate({ord(letter): "_" for letter in '"\\%'})
    how = "attachment" if is_download else "inline"
    more = "" if simple == name else f"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"
    return f'{how}; filename="{simple}"{more}'
