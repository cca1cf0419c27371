"""The body of ``generateContent``."""

from __future__ import annotations

import base64
from typing import Any


def parts_of(prompt: str, picture: bytes, content_type: str) -> list[dict[str, Any]]:
    """What the model is shown: the prompt, then the encoded picture."""
    encoded = base64.b64encode(picture).decode()
    return [{"text": prompt}, {"inlineData": {"mimeType": content_type, "data": encoded}}]


def request_body(
    parts: list[dict[str, Any]],
    aspect_ratio: str,
    image_size: str,
    *,
    thinking_level: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The whole body; what is None is left to the model."""
    config: dict[str, Any] = {
        # text is asked for too: it explains why there is no picture
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": aspect_ratio, "imageSize": image_size},
    }
    if thinking_level is not None:
        config["thinkingConfig"] = {"thinkingLevel": thinking_level.upper()}
    if seed is not None:
        config["seed"] = seed
    return {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
