"""API keys: ``igp_<prefix>_<secret>``. The prefix names the key, of the secret only a salted hash is kept.

The secret has 256 random bits, so that a fast hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_PREFIX_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_PREFIX_LENGTH = 10
_KEY = re.compile(rf"igp_([{_PREFIX_LETTERS}]{{{_PREFIX_LENGTH}}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: ``text`` is shown once and never stored."""

    text: str
    prefix: str
    salt: str
    hash: str


def new_key() -> NewKey:
    """Make a new random key."""
    prefix = "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(_PREFIX_LENGTH))
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    return NewKey(f"igp_{prefix}_{secret}", prefix, salt, hash_secret(secret, salt))


def split_key(text: str) -> tuple[str, str] | None:
    """Prefix and secret of a key. Returns None if ``text`` does not have the form of one."""
    match = _KEY.fullmatch(text)
    return (match[1], match[2]) if match else None


def hash_secret(secret: str, salt: str) -> str:
    """The salted hash of a secret, 64 hexadecimal digits."""
    return hmac.new(bytes.fromhex(salt), secret.encode(), hashlib.sha256).hexdigest()


def matches(secret: str, salt: str, expected: str) -> bool:
    """True for the right secret. The time does not depend on how many characters match."""
    return hmac.compare_digest(hash_secret(secret, salt), expected)
