"""Whose an upload is: links are handed out for ``uploads/{user}/{ticket}/{file}``, each for one name."""

from __future__ import annotations

from imagery.contracts import UPLOADS, BlobRef
from imagery.principal import STORAGE_OWNER
from imagery.services import get_services


def owner_of(source: BlobRef) -> str:
    """The user by whose link the blob came; ``storage`` for what others wrote into the container."""
    parts = source.name.split("/")
    if source.container != UPLOADS or len(parts) != 3:
        return STORAGE_OWNER
    user = get_services().users.get(parts[0][:64])
    return user.user_id if user else STORAGE_OWNER
