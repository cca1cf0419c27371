"""Names of photos, as senders give them and as browsers get them back."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value

import pytest

from imagery.file_names import MAX_FILE_NAME, content_disposition, file_name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("coffee.jpg", "coffee.jpg"),
        ("Kaffee groß 咖啡.jpg", "Kaffee groß 咖啡.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\cup.png", "cup.png"),
        ("a\r\nSet-Cookie: x.jpg", "aSet-Cookie: x.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),  # shown backwards it would end with .jpg
        ("\ud800.jpg", "jpg"),
        (".hidden", "hidden"),
        ("", None),
        ("..", None),
        ("folder/", None),
        (None, None),
        ("x" * 5000 + ".jpeg", "x" * (MAX_FILE_NAME - 5) + ".jpeg"),
        ("x" * 300, "x" * MAX_FILE_NAME),
        ("a." + "b" * 300, "a." + "b" * 20),
    ],
)
def test_a_name_is_kept_without_what_can_do_harm(given: str | None, kept: str | None) -> None:
    assert file_name(given) == kept


def read(header: str) -> str:
    """The file's name in a header."""
    parsed = Message()
    parsed["Content-Disposition"] = header
    return collapse_rfc2231_value(parsed.get_param("filename", "", header="content-disposition") or "")


@pytest.mark.parametrize(
    ("name", "simple"),
    [
        ("coffee-placed.png", "coffee-placed.png"),
        ("Kaffee groß é 咖啡.png", "Kaffee gro_ e __.png"),
        ('a"b\\c%20.png', "a_b_c_20.png"),
        ("it's (1); x=y.png", "it's (1); x=y.png"),
    ],
)
def test_a_browser_reads_the_same_name_from_the_header(name: str, simple: str) -> None:
    header = content_disposition(name, is_download=True)
    assert header.isascii() and header.isprintable()
    parsed = Message()
    parsed["Content-Disposition"] = header
    assert parsed.get_content_disposition() == "attachment"
    old, _, extended = header.partition("; filename*=")
    assert read(old) == simple
    assert bool(extended) == (simple != name)
    if extended:
        assert read(f"attachment; filename*={extended}") == name


def test_a_picture_may_also_be_shown() -> None:
    assert content_disposition("a.png", is_download=False) == 'inline; filename="a.png"'
