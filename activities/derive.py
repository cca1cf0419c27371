"""From the bytes that a provider sent to the picture that its job delivers."""

from __future__ import annotations

import io

from PIL import Image

from imagery.png import SIGNATURE, without_personal_metadata


def derive(answer: bytes) -> bytes:
    """The picture as PNG whatever the model sent, as the blob's name promises; nothing personal in it."""
    if answer.startswith(SIGNATURE):
        return without_personal_metadata(answer)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(answer)) as image:
        image.save(buffer, "PNG", compress_level=1)
    return without_personal_metadata(buffer.getvalue())
