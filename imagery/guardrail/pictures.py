"""Reading untrusted pictures: the header first, pixels only if their number is within the limit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pillow_heif
from PIL import ExifTags, Image, ImageCms, ImageOps

from imagery.bounded_picture import DECODE_ERRORS, open_picture
from imagery.guardrail.sniff import sniff

pillow_heif.register_heif_opener(thumbnails=False)

CONTENT_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "HEIF": "image/heic",
}
# MPO is how Pillow names a JPEG with a second picture behind it; it is opened as JPEG
FORMATS = tuple(name for name in CONTENT_TYPES if name != "MPO")
_BYTES_A_BAND = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
_KINDS = {"exif": "EXIF", "xmp": "XMP", "icc_profile": "ICC", "photoshop": "IPTC", "comment": "comment"}


class PictureError(Exception):
    """The bytes are no supported picture. ``code`` is stable, ``found`` says what they are if known."""

    def __init__(self, code: str, message: str, found: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.found = found


@dataclass(frozen=True)
class PictureMetadata:
    """What a file carries beside pixels: ``size`` in bytes, ``kinds`` as a person would name them."""

    size: int = 0
    kinds: tuple[str, ...] = field(default=())

    @property
    def summary(self) -> str:
        """``EXIF with GPS position, ICC`` and the like."""
        return ", ".join(self.kinds)


@dataclass(frozen=True)
class PictureHeader:
    """What a file's header says, read before any pixel is decoded; sides in pixels."""

    format: str
    content_type: str
    width: int
    height: int
    frames: int
    decoded_bytes: int
    metadata: PictureMetadata

    @property
    def megapixels(self) -> float:
        """Pixels of all frames, in millions."""
        return self.width * self.height * self.frames / 1e6


def read_header(data: bytes, formats: Sequence[str] = FORMATS) -> PictureHeader:
    """Read the header by content, never by name. Raises ``PictureError``."""
    with _open(data, formats) as image:
        name = str(image.format)
        try:
            frames = 1 if name == "MPO" else int(getattr(image, "n_frames", 1))
            metadata = _metadata(image)
        except DECODE_ERRORS as error:
            raise _damaged(name) from error
        depth = len(image.getbands()) * _BYTES_A_BAND.get(image.mode, 1)
        return PictureHeader(
            format=name,
            content_type=CONTENT_TYPES[name],
            width=image.width,
            height=image.height,
            frames=frames,
            decoded_bytes=image.width * image.height * frames * depth,
            metadata=metadata,
        )


def decode(data: bytes, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Decode every pixel of the first frame. Raises ``PictureError`` (``truncated_image``)."""
    image = _open(data, formats)
    try:
        image.load()
    except DECODE_ERRORS as error:
        raise PictureError(
            "truncated_image", "The image data is cut off or damaged: it can't be decoded to the end."
        ) from error
    return image


def normalise(image: Image.Image) -> Image.Image:
    """The picture upright, sRGB, 8 bit, RGB or RGBA (H, W unchanged but for orientation), no metadata.

    ``image`` may be changed: copies of large pictures are what a worker's memory is used up by.
    """
    profile = image.info.get("icc_profile")
    # an orientation that can't be read is none, as viewers have it
    with suppress(*DECODE_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)
    has_alpha = image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    alpha = image.convert("RGBA").getchannel("A") if has_alpha else None
    colour = _to_srgb(image, profile) if profile else _to_rgb(image)
    if alpha is not None:
        colour.putalpha(alpha)
    # an empty picture around the same pixels: nothing of the file stays behind it
    clean = Image.Image()
    clean.im, clean._mode, clean._size = colour.im, colour.mode, colour.size
    return clean


def _open(data: bytes, formats: Sequence[str]) -> Image.Image:
    try:
        return open_picture(data, formats, max_megapixels=None)
    except DECODE_ERRORS as error:
        found = sniff(data)
        if found is not None and found in formats:
            raise _damaged(found) from error
        kind = f"It is {found}." if found else "Its type is not known."
        raise PictureError(
            "unsupported_image_type",
            f"The file is not an image of a supported type ({', '.join(formats)}). {kind}",
            found,
        ) from error


def _damaged(found: str) -> PictureError:
    message = f"The file begins as {found} but its header is damaged: export the picture again."
    return PictureError("damaged_image", message, f"damaged {found}")


def _metadata(image: Image.Image) -> PictureMetadata:
    info = image.info
    kinds: list[str] = []
    size = 0
    for key, kind in _KINDS.items():
        value = info.get(key)
        if value:
            size += _size(value)
            kinds.append(_exif_kind(image) if key == "exif" else kind)
    texts = [value for key, value in info.items() if isinstance(value, str) and key not in _KINDS]
    size += sum(_size(value) for value in texts)
    if texts:
        kinds.append("text")
    # every application segment of a JPEG, also those without a name
    segments = sum(len(segment) for _, segment in getattr(image, "applist", ()))
    return PictureMetadata(max(size, segments), tuple(kinds))


def _exif_kind(image: Image.Image) -> str:
    try:
        gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    except DECODE_ERRORS:
        return "unreadable EXIF"
    return "EXIF with GPS position" if gps else "EXIF"


def _size(value: Any) -> int:
    return len(value) if isinstance(value, bytes | str) else 0


def _to_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Wide grey as 8 bit: integers count to 65535, floats to 1, 255 or 65535, by their maximum."""
    wide = image.convert("F")
    largest = float(wide.getextrema()[1])  # type: ignore[arg-type]
    if image.mode == "F" and largest <= 1.0:
        factor = 255.0
    elif image.mode == "F" and largest <= 255.0:
        factor = 1.0
    else:
        factor = 255.0 / 65535.0
    return wide.point(lambda value: value * factor).convert("L")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by the embedded profile; a broken profile is ignored, as viewers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        colour = image if image.mode in {"RGB", "CMYK", "L"} else image.convert("RGB")
        converted = ImageCms.profileToProfile(
            colour, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _to_rgb(image)
    return converted if converted is not None else _to_rgb(image)
