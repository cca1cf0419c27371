"""The cut-out as the image model gets it."""

from __future__ import annotations

import io

from PIL import Image

from imagery.bounded_picture import DECODE_ERRORS, TooManyPixelsError, open_picture
from imagery.providers.errors import CallRejectedError

_FORMATS = ["PNG", "JPEG", "WEBP"]
# Vertex AI takes 7 MB an image and does not say of which form: as base64 this is 6.7 million bytes
_MAX_REFERENCE_BYTES = 5_000_000
_WEBP_QUALITY = 92
# of the longest side: noise has no other way to fit
_SMALLER = (1.0, 0.7, 0.5)


def reference_image(cutout: bytes, max_side: int, *, max_megapixels: float) -> tuple[bytes, str]:
    """The cut-out as it is sent: no side above ``max_side`` px; bytes and content type.

    PNG, or WebP where PNG would make the request too large. Raises ``CallRejectedError`` if it can't be read.
    """
    try:
        with open_picture(cutout, _FORMATS, max_megapixels) as image:
            small = _shrink(image, max_side)
    except TooManyPixelsError as error:
        raise CallRejectedError("image_too_large", f"The upscaled cut-out is too large: {error}.") from error
    except DECODE_ERRORS as error:
        raise CallRejectedError("invalid_image", "The upscaled cut-out can't be read.") from error
    buffer = io.BytesIO()
    small.save(buffer, "PNG", compress_level=1)
    if buffer.tell() <= _MAX_REFERENCE_BYTES:
        return buffer.getvalue(), "image/png"
    for part in _SMALLER:
        buffer = io.BytesIO()
        _shrink(small, round(max_side * part)).save(buffer, "WEBP", quality=_WEBP_QUALITY)
        if buffer.tell() <= _MAX_REFERENCE_BYTES:
            break
    return buffer.getvalue(), "image/webp"


def _shrink(image: Image.Image, max_side: int) -> Image.Image:
    """Scale down with alpha premultiplied, so that no colour of transparent pixels bleeds in."""
    factor = max_side / max(image.size)
    if factor >= 1:
        image.load()
        return image.copy()
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    if image.mode != "RGBA":
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return image.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
