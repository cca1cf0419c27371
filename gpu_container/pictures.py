"""Pictures in and out of blobs."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageOps

from gpu_container.errors import ImageTooLarge, InvalidImage
from imagery.bounded_picture import DECODE_ERRORS, TooManyPixelsError, open_picture

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
_COMPRESSION = 1


def read(data: bytes, max_megapixels: float) -> Image.Image:
    """Decode to RGB or RGBA, upright. Raises ``InvalidImage``, ``ImageTooLarge``."""
    try:
        with open_picture(data, _FORMATS, max_megapixels) as opened:
            upright = ImageOps.exif_transpose(opened)
            has_alpha = upright.has_transparency_data
            return upright.convert("RGBA" if has_alpha else "RGB")
    except TooManyPixelsError as error:
        raise ImageTooLarge(f"The picture is too large: {error}.") from error
    except DECODE_ERRORS as error:
        raise InvalidImage("The source is no picture, or a damaged one.") from error


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height, from the header."""
    with Image.open(io.BytesIO(data)) as opened:
        return opened.width, opened.height


def encode(pixels: np.ndarray) -> bytes:
    """``pixels`` (H, W, 3 or 4) RGB(A) uint8 as PNG without metadata, compressed lightly."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, buffer = cv2.imencode(
        ".png", cv2.cvtColor(pixels, order), [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION]
    )
    if not done:
        raise InvalidImage("The result could not be encoded.")
    return buffer.tobytes()
