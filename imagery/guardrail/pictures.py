"""Reading untrusted pictures: the header first, pixels only if their number is within the limit."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms, ImageOps

from imagery.bounded_picture import DECODE_ERRORS, open_picture
from imagery.guardrail.aperture import Aperture, ApertureError, aperture
from imagery.guardrail.sniff import sniff
from imagery.guardrail.structure import without_broken_extras

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
# tags of a TIFF: kind of page, bits of each colour, arrangement of the colours
_SUBFILE, _BITS, _PLANAR, _SEPARATE_PLANES = 254, 258, 284, 2
_PAGES_LOOKED_AT = 16
# percent of the pixels that a range of floats has to hold
_MOST = 99.0
_PNG_DEPTH_AT = 24
_JUDGED_PX = 256
_PIXEL_TAGS = (273, 279, 324, 325)
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
    """What a file's header says, read before any pixel is decoded; sides in pixels.

    ``pixel_spans``: offsets and lengths of a TIFF's pixel data, by their tags.
    ``coded``: width and height of what is decoded where a part of it is the picture.
    """

    format: str
    content_type: str
    width: int
    height: int
    frames: int
    metadata: PictureMetadata
    pixel_spans: dict[int, Sequence[int]] = field(default_factory=dict)
    coded: tuple[int, int] | None = None

    @property
    def megapixels(self) -> float:
        """Pixels that are decoded of all frames, in millions."""
        width, height = self.coded or (self.width, self.height)
        return width * height * self.frames / 1e6


def read_header(data: bytes, formats: Sequence[str] = FORMATS) -> PictureHeader:
    """Read the header by content, never by name. Raises ``PictureError``."""
    with _open(data, formats) as image:
        name = str(image.format)
        try:
            frames = _frames(image)
            metadata = _metadata(image)
        except DECODE_ERRORS as error:
            raise _damaged(name) from error
        tags = getattr(image, "tag_v2", {}) if name == "TIFF" else {}
        shown = _aperture(data, name)
        width, height = image.size
        if shown.crop is not None and name == "AVIF":
            left, top, right, bottom = shown.crop
            width, height = right - left, bottom - top
        return PictureHeader(
            format=name,
            content_type=CONTENT_TYPES[name],
            width=width,
            height=height,
            frames=frames,
            metadata=metadata,
            pixel_spans={tag: tuple(tags[tag]) for tag in _PIXEL_TAGS if tag in tags},
            coded=shown.coded if shown.crop is not None else None,
        )


def decode(
    data: bytes, formats: Sequence[str] = FORMATS, working_megapixels: float | None = None
) -> Image.Image:
    """Decode the main picture to its end. Raises ``PictureError`` (``truncated_image``).

    One of more than ``working_megapixels`` is scaled down to as many, with the same proportions.
    """
    image = _open(data, formats)
    try:
        if working_megapixels is not None:
            # a JPEG's decoder halves for nothing, and takes a quarter of the memory
            image.draft(None, _fitting(image.size, working_megapixels))
        image.load()
        _correct(image, data)
        image = cropped(image, data)
        return image if working_megapixels is None else _scaled_down(image, working_megapixels)
    except DECODE_ERRORS as error:
        raise PictureError(
            "truncated_image", "The image data is cut off or damaged: it can't be decoded to the end."
        ) from error


def _fitting(size: tuple[int, int], megapixels: float) -> tuple[int, int]:
    """``size`` with the same proportions and no more than ``megapixels``; never larger."""
    width, height = size
    scale = min(1.0, math.sqrt(megapixels * 1e6 / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _scaled_down(image: Image.Image, megapixels: float) -> Image.Image:
    """``image`` upright, scaled to ``megapixels``; one that has no more is returned as it is."""
    if _fitting(image.size, megapixels) == image.size:
        return image
    # an orientation that can't be read is none, as viewers have it
    with suppress(*DECODE_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)
    if "transparency" in image.info or image.mode in {"P", "PA"}:
        # a filter would mix the numbers of colours, or the colour that stands for transparent
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode.startswith("I") or image.mode == "F":
        image, profile = _to_8_bit(image), image.info.get("icc_profile")
        image.info |= {"icc_profile": profile} if profile else {}
    return image.resize(_fitting(image.size, megapixels), Image.Resampling.LANCZOS, reducing_gap=3.0)


def cropped(image: Image.Image, data: bytes) -> Image.Image:
    """The part of an AVIF that is to be shown, not yet upright; other pictures as they are.

    Raises ``PictureError`` for a crop that can't be made.
    """
    crop = _aperture(data, "AVIF").crop if image.format == "AVIF" else None
    return image if crop is None else image.crop(crop)


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
        # what is invisible says nothing about the picture, and must not be taken for a part of it
        hidden = alpha.point(lambda value: 255 if value == 0 else 0)
        colour.paste(contrasting(colour, alpha), mask=hidden)
        colour.putalpha(alpha)
    # an empty picture around the same pixels: nothing of the file stays behind it
    clean = Image.Image()
    clean.im, clean._mode, clean._size = colour.im, colour.mode, colour.size
    return clean


def _aperture(data: bytes, name: str) -> Aperture:
    if name not in {"AVIF", "HEIF"}:
        return Aperture(None, None)
    try:
        return aperture(data, name)
    except ApertureError as error:
        message = f"The file says how its picture is to be shown, but {error}. Export it again."
        raise PictureError("unsupported_image_type", message, f"{name} with a crop") from error


def contrasting(colour: Image.Image, alpha: Image.Image) -> tuple[int, int, int]:
    """Black or white: what the visible part of a picture stands out from."""
    size = (min(colour.width, _JUDGED_PX), min(colour.height, _JUDGED_PX))
    light = np.asarray(colour.convert("L").resize(size, Image.Resampling.NEAREST), dtype=np.float32)
    weight = np.asarray(alpha.resize(size, Image.Resampling.NEAREST), dtype=np.float32)
    seen = float(weight.sum())
    is_light = seen > 0 and float((light * weight).sum()) / seen >= 128.0
    return (0, 0, 0) if is_light else (255, 255, 255)


def _open(data: bytes, formats: Sequence[str]) -> Image.Image:
    try:
        image = open_picture(without_broken_extras(data), formats, max_megapixels=None)
        if image.format == "TIFF":
            _choose_page(image)
        return image
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


def _frames(image: Image.Image) -> int:
    """Pictures that are not the same one once more: a preview, a pair's other eye, a depth map are none."""
    if image.format in {"MPO", "HEIF"}:
        return 1
    frames = int(getattr(image, "n_frames", 1))
    if image.format != "TIFF" or frames > _PAGES_LOOKED_AT:
        return frames
    return len(_main_pages(image))


def _choose_page(image: Image.Image) -> None:
    """Go to the first page of a TIFF that is no preview. Raises ``PictureError`` for what decodes wrongly."""
    image.seek(_main_pages(image)[0])
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(_BITS, (1,))
    if tags.get(_PLANAR, 1) == _SEPARATE_PLANES and len(bits) > 1 and max(bits) > 8:
        message = (
            "The file is a TIFF with more than 8 bits a colour in separate planes, which is not supported. "
            "Save it as a PNG, or with interleaved colours."
        )
        raise PictureError("unsupported_image_type", message, "a TIFF with deep separate planes")


def _main_pages(image: Image.Image) -> list[int]:
    """The pages of a TIFF that are no previews, at least one; ``image`` stays on its page.

    Many writers do not mark a preview as one: it is a page of the same shape and at most half the size.
    """
    sizes: dict[int, tuple[int, int]] = {}
    chosen = image.tell()
    for page in range(min(int(getattr(image, "n_frames", 1)), _PAGES_LOOKED_AT)):
        image.seek(page)
        if not int(image.tag_v2.get(_SUBFILE, 0)) & 1:  # type: ignore[attr-defined]
            sizes[page] = image.size
    image.seek(chosen)
    if not sizes:
        return [0]
    width, height = max(sizes.values())
    return [page for page, size in sizes.items() if not _is_preview(size, width, height)]


def _is_preview(size: tuple[int, int], width: int, height: int) -> bool:
    is_smaller = 2 * size[0] <= width and 2 * size[1] <= height
    # a side of a preview is a whole number of pixels
    return is_smaller and abs(size[0] * height - size[1] * width) <= max(width, height)


def _correct(image: Image.Image, data: bytes) -> None:
    """What Pillow decodes otherwise than the format says."""
    transparent = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(transparent, int):
        # grey of 2 and 4 bits is stretched to 8, and the transparent value is not
        bits = data[_PNG_DEPTH_AT]
        image.info["transparency"] = transparent * (255 // (2**bits - 1)) if bits < 8 else transparent
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        # writers leave the fourth byte empty
        image.putalpha(255)


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
    """Wide grey as 8 bit: integers count to 65535, floats to 1, 255 or 65535, by nearly all of them."""
    wide = image.convert("F")
    values = np.asarray(wide)
    # a few highlights of a picture in 0..1 may lie above it; they are as white as they can be
    most = float(np.percentile(values, _MOST)) if image.mode == "F" else 65535.0
    if most <= 1.0:
        factor = 255.0
    elif most <= 255.0:
        factor = 1.0
    else:
        factor = 255.0 / 65535.0
    return Image.fromarray(np.clip(np.nan_to_num(values) * factor, 0, 255).astype(np.uint8))


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
