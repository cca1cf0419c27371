"""Who acts, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a user may do: its own things, everybody's, or manage users too."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


# owns what arrives in the uploads container by other ways than a link of ours; no key belongs to it
STORAGE_OWNER = "storage"
# credential of a caller whom the platform has signed in
SIGN_IN = "sign-in"


@dataclass(frozen=True)
class Principal:
    """The caller of a request. ``credential`` names the key or the sign-in, for logs."""

    user_id: str
    name: str
    role: Role
    credential: str

    @property
    def sees_everything(self) -> bool:
        """True when jobs, images, logs and metrics of others are visible too."""
        return self.role in {Role.OPERATOR, Role.ADMIN}

    @property
    def scope(self) -> str | None:
        """The owner whose things are visible; None: everybody's."""
        return None if self.sees_everything else self.user_id

    def may_see(self, owner_id: str) -> bool:
        """True when things of ``owner_id`` are visible."""
        return self.sees_everything or owner_id == self.user_id
