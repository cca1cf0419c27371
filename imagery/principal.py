"""Callers and their roles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a user may see and do: its own jobs, all jobs, or all jobs and users."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


# owner of uploads that did not come by one of our links; it has no key
STORAGE_OWNER = "storage"


@dataclass(frozen=True)
class Principal:
    """The caller of a request."""

    user_id: str
    name: str
    role: Role

    @property
    def sees_everything(self) -> bool:
        """True if the caller may see the jobs, images, logs and metrics of others."""
        return self.role in {Role.OPERATOR, Role.ADMIN}

    @property
    def scope(self) -> str | None:
        """The owner whose jobs are visible; None: all owners."""
        return None if self.sees_everything else self.user_id

    def may_see(self, owner_id: str) -> bool:
        """True if the caller may see what belongs to ``owner_id``."""
        return self.sees_everything or owner_id == self.user_id
