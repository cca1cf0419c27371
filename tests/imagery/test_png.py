"""What a model, or its service, wrote beside the pixels is not kept."""

from __future__ import annotations

import io
import zlib

from PIL import Image, ImageCms, PngImagePlugin

from drills.hostile.inputs import chunk
from imagery.png import without_personal_metadata
from testbed.pictures import encoded, picture


def told() -> bytes:
    """A PNG with all that can be told in one."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Jane Doe")
    texts.add_text("Comment", "taken at home", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>Jane Doe</x:xmpmeta>")
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 1.0)
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save(buffer, "PNG", pnginfo=texts, exif=exif, icc_profile=profile)
    return buffer.getvalue() + b"taken at home"


def test_pixels_and_colour_stay_and_nothing_personal_does() -> None:
    clean = without_personal_metadata(told())
    assert b"Jane" not in clean
    assert b"home" not in clean
    with Image.open(io.BytesIO(clean)) as image, Image.open(io.BytesIO(told())) as before:
        image.load()
        assert image.info.keys() == {"icc_profile"}
        assert not image.getexif()
        assert image.tobytes() == before.tobytes()


def test_a_plain_picture_stays_byte_for_byte() -> None:
    assert without_personal_metadata(encoded()) == encoded()


def test_the_mark_of_a_machine_made_picture_stays() -> None:
    marked = encoded()[:-12] + chunk(b"caBX", b"made by a model") + encoded()[-12:]
    assert without_personal_metadata(marked) == marked


def test_a_cut_off_file_raises_nothing() -> None:
    data = told()
    for end in range(8, len(data), 97):
        kept = without_personal_metadata(data[:end])
        assert kept.endswith(b"IEND" + zlib.crc32(b"IEND").to_bytes(4))
