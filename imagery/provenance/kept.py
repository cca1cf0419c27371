"""What stays of a photo that is not kept: its statement, as an ingredient of what is made from it."""

from __future__ import annotations

import hashlib
import io
import json

import c2pa
from pydantic import ConfigDict, Field

from imagery.contracts import Message
from imagery.provenance.credentials import Credentials, CredentialsState
from imagery.provenance.manifest import Role, Source
from imagery.provenance.reader import has_store, read


class KeptStatement(Message):
    """A photo's statement. It holds no pixels but those of a preview that its signer has put in.

    ``sha256``: of the photo, in hex. ``credentials``: what was read in it while it was there. ``archive``:
    its manifests with what the C2PA library found when it compared them with the photo; empty where they
    can't be read.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    sha256: str
    content_type: str
    credentials: Credentials
    archive: bytes = Field(default=b"", repr=False)

    @property
    def source(self) -> Source:
        """The photo as a source of another picture."""
        return Source(Role.PHOTO, self.archive, self.content_type, self.credentials, self.sha256)


def kept_statement(data: bytes, content_type: str, context: c2pa.Context) -> KeptStatement | None:
    """The statement of a photo. Returns None if it makes none; raises ``MemoryError`` and nothing else.

    ``context``: see ``imagery.provenance.trust``.
    """
    if not has_store(data):
        return None
    found = read(data, context)
    if found.state is CredentialsState.NONE:
        return None
    archive = archived(data, content_type, context) if found.manifest is not None else b""
    digest = hashlib.sha256(data).hexdigest()
    return KeptStatement(sha256=digest, content_type=content_type, credentials=found, archive=archive)


def archived(data: bytes, content_type: str, context: c2pa.Context) -> bytes:
    """``data`` as an ingredient that can do without it. Returns nothing where the library can't read it."""
    photo = Role.PHOTO.value
    entry = {"label": photo, "title": photo, "format": content_type, "relationship": "componentOf"}
    out = io.BytesIO()
    try:
        with c2pa.Builder("{}", context=context) as builder:
            builder.add_ingredient(json.dumps(entry), content_type, io.BytesIO(data))
            builder.write_ingredient_archive(photo, out)
    except c2pa.C2paError:
        return b""
    return out.getvalue()
