"""Opening pictures with a limit of our own, from settings, instead of Pillow's built-in one."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import Image

# a 12 megapixel photo upscaled 4x exceeds Pillow's fixed limit; ours are checked before pixels are allocated
Image.MAX_IMAGE_PIXELS = None
Image.init()

# what decoders have been seen to raise for damaged files; running out of memory is not among it
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class TooManyPixelsError(ValueError):
    """The picture holds more pixels than the caller takes."""


def open_picture(data: bytes, formats: Sequence[str], max_megapixels: float | None) -> Image.Image:
    """Open without decoding. Raises ``DECODE_ERRORS``, ``TooManyPixelsError`` among them.

    ``max_megapixels`` None leaves the judgement of the size to the caller, who must make it before
    pixels are read.
    """
    image = Image.open(io.BytesIO(data), formats=list(formats))
    if max_megapixels is not None and image.width * image.height > max_megapixels * 1e6:
        image.close()
        raise TooManyPixelsError(f"{image.width}x{image.height} px exceed {max_megapixels} MP")
    return image
