"""What a request orders, read as strictly as the service reads it."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from local.nano_banana_models import MODELS, SIZES, ImageModel

_MAX_PIXELS = 50_000_000
_MAX_IMAGES = 14
# of an image inside a request to Vertex, by the page of the model
_MAX_VERTEX_IMAGE = 7 * 1024 * 1024
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_ROLES = frozenset({"user", "model"})
_SEEDS = range(-(2**31), 2**31)
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_MAX_LABELS = 64
# one text part may hold our instruction and the user's words, which then stand in a tag or in quotes
_DELIMITED = re.compile(r'<(?P<tag>[a-z_-]+)>(?P<tagged>.+?)</(?P=tag)>|"""(?P<quoted>.+?)"""', re.S | re.I)


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# fields by the types of google-genai 3.6.1, which says of each where it exists
_BODY = _names("contents generationConfig systemInstruction safetySettings tools toolConfig cachedContent")
_CONFIG = _names(
    """candidateCount frequencyPenalty imageConfig logprobs maxOutputTokens mediaResolution presencePenalty
    responseJsonSchema responseLogprobs responseMimeType responseModalities responseSchema seed speechConfig
    stopSequences temperature thinkingConfig topK topP"""
)
_PART = _names("text inlineData thought thoughtSignature mediaResolution")
_THINKING = _names("includeThoughts thinkingBudget thinkingLevel")
_INLINE = _names("mimeType data displayName")
_VERTEX_BODY = _BODY | {"labels"}
_DEVELOPER_BODY = _BODY | {"serviceTier", "store"}


class BadRequestError(Exception):
    """The real API would refuse this request."""


@dataclass(frozen=True)
class PictureOrder:
    """A valid request.

    ``prompt``: the user's words. ``prompt_chars``: of every text that came. ``thinking``: the level, "" where
    the model chooses. ``labels``: of Vertex, for its bill.
    """

    model: str
    prompt: str
    prompt_chars: int
    images: tuple[Image.Image, ...]
    ratio: str
    size: str
    thinking: str = ""
    with_thoughts: bool = False
    with_text: bool = True
    seed: int | None = None
    is_vertex: bool = False
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return MODELS[self.model].pixels(self.ratio, self.size)


def read_order(body: bytes, model: str, *, is_vertex: bool) -> PictureOrder:
    """The order in the body of ``generateContent``. Raises ``BadRequestError``."""
    try:
        return _order(json.loads(body), model, is_vertex=is_vertex)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequestError(f"Invalid JSON payload received: {error}") from error


def _order(body: Any, model: str, *, is_vertex: bool) -> PictureOrder:
    given = _fields(body, _VERTEX_BODY if is_vertex else _DEVELOPER_BODY)
    parts = [part for content in given["contents"] for part in _parts(content, is_vertex=is_vertex)]
    texts = [part["text"] for part in parts if "text" in part]
    inline = [part["inlineData"] for part in parts if "inlineData" in part]
    if not any(texts) or not inline:
        raise BadRequestError("contents.parts must hold a text and an inlineData")
    if len(inline) > _MAX_IMAGES:
        raise BadRequestError(f"Please reduce the number of images: at most {_MAX_IMAGES} are supported.")
    images = tuple(_image(each, _MAX_VERTEX_IMAGE if is_vertex else None) for each in inline)
    config = _fields(given.get("generationConfig", {}), _CONFIG, "generation_config")
    if config.get("candidateCount", 1) != 1:
        raise BadRequestError("Multiple candidates is not enabled for this model")
    ratio, size = _shape(config.get("imageConfig", {}), model, images[0])
    level, with_thoughts = _thinking(config.get("thinkingConfig", {}), MODELS[model])
    return PictureOrder(
        model=model,
        prompt=_users_words(texts),
        prompt_chars=sum(len(text) for text in texts)
        + len(json.dumps(given.get("systemInstruction", "")))
        - 2,
        images=images,
        ratio=ratio,
        size=size,
        thinking=level,
        with_thoughts=with_thoughts,
        with_text="TEXT" in _modalities(config.get("responseModalities", ["TEXT", "IMAGE"])),
        seed=_seed(config.get("seed")),
        is_vertex=is_vertex,
        labels=_labels(given.get("labels", {})),
    )


def _fields(given: Any, known: frozenset[str], where: str = "") -> dict[str, Any]:
    """A message's fields by their JSON names; the protocol buffer's own names are taken too, as by Google."""
    if not isinstance(given, dict):
        raise BadRequestError(f"Invalid value at '{where}'")
    found = {}
    for name, value in given.items():
        first, *others = name.split("_")
        camel = first + "".join(word.capitalize() for word in others)
        if camel not in known:
            at = f" at '{where}'" if where else ""
            raise BadRequestError(
                f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            )
        found[camel] = value
    return found


def _parts(content: Any, *, is_vertex: bool) -> list[dict[str, Any]]:
    fields = _fields(content, _names("role parts"), "contents")
    # only Vertex insists on it
    if fields.get("role", "" if is_vertex else "user") not in _ROLES:
        raise BadRequestError("Please use a valid role: user, model.")
    return [_fields(part, _PART, "contents.parts") for part in fields["parts"]]


def _users_words(texts: list[str]) -> str:
    """The scene that the user described: the last text, or what is delimited in the only one."""
    last = texts[-1]
    found = list(_DELIMITED.finditer(last)) if len(texts) == 1 else []
    return (found[-1]["tagged"] or found[-1]["quoted"]).strip() if found else last


def _shape(given: Any, model: str, first: Image.Image) -> tuple[str, str]:
    """Aspect ratio and size class."""
    config = _fields(given, _names("aspectRatio imageSize"), "generation_config.image_config")
    ratio = config.get("aspectRatio") or MODELS[model].nearest_ratio(first.width, first.height)
    size = config.get("imageSize") or "1K"
    if ratio not in MODELS[model].ratios or size not in SIZES:
        raise BadRequestError(f"{model} makes no such picture: aspectRatio {ratio!r}, imageSize {size!r}")
    return ratio, size


def _thinking(given: Any, model: ImageModel) -> tuple[str, bool]:
    """The level, and whether thoughts are sent along."""
    config = _fields(given, _THINKING, "generation_config.thinking_config")
    if "thinkingBudget" in config:
        raise BadRequestError("Thinking budget is not supported for this model.")
    level = str(config.get("thinkingLevel", "")).upper()
    if level and level not in model.thinking:
        raise BadRequestError(f"Thinking level {level} is not supported for this model.")
    return level or next(iter(model.thinking), ""), config.get("includeThoughts") is True


def _modalities(given: Any) -> set[str]:
    asked = {str(each).upper() for each in given}
    if "IMAGE" not in asked or not asked <= {"TEXT", "IMAGE"}:
        raise BadRequestError(
            f"The requested combination of response modalities ({', '.join(sorted(asked))}) is not supported."
        )
    return asked


def _seed(given: Any) -> int | None:
    if given is not None and (type(given) is not int or given not in _SEEDS):
        raise BadRequestError("Invalid value at 'generation_config.seed' (TYPE_INT32)")
    return given


def _labels(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or len(given) > _MAX_LABELS:
        raise BadRequestError(f"labels must be at most {_MAX_LABELS} pairs")
    for key, value in given.items():
        if not _LABEL.fullmatch(key) or not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise BadRequestError(
                f"Invalid label {key}={value}: at most 63 lowercase letters, digits, - and _, the key with a"
                " letter first"
            )
    return given


def _image(given: Any, most_bytes: int | None) -> Image.Image:
    inline = _fields(given, _INLINE, "contents.parts.inline_data")
    if inline.get("mimeType") not in _IMAGE_TYPES:
        raise BadRequestError(f"Unsupported MIME type: {inline.get('mimeType', '')}")
    try:
        # both alphabets are taken, as by the service
        plain = inline["data"].replace("-", "+").replace("_", "/")
        data = base64.b64decode(plain, validate=True)
        if most_bytes is not None and len(data) > most_bytes:
            raise BadRequestError(f"The image has {len(data)} bytes; inline data may have {most_bytes}.")
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > _MAX_PIXELS:
            raise BadRequestError("the image has too many pixels")
        return image.convert("RGBA")
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadRequestError("Unable to process input image.") from error
