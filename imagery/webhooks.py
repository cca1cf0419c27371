"""Callbacks: their body and their signature (Standard Webhooks)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from standardwebhooks import Webhook

_MIN_MASTER = 32


class SigningKeyError(Exception):
    """The key that signs callbacks is missing."""

    code = "callbacks_not_configured"


def webhook_secret(master: SecretStr | None, user_id: str, version: int) -> str:
    """The secret that signs a user's callbacks, ``whsec_...``; derived, so that none is stored.

    Raises ``SigningKeyError``.
    """
    key = master.get_secret_value() if master else ""
    if len(key) < _MIN_MASTER:
        raise SigningKeyError(
            f"WEBHOOK_SIGNING_KEY is not set, or has less than {_MIN_MASTER} characters: no callbacks."
        )
    derived = hmac.new(key.encode(), f"{user_id}/{version}".encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(derived).decode()}"


def signed_headers(secret: str, message_id: str, at: datetime, body: str) -> dict[str, str]:
    """The headers by which a receiver verifies the sender and recognises a repeated message."""
    return {
        "content-type": "application/json",
        "user-agent": "imagery-guardrail",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body),
    }


def event_body(event: str, at: datetime, data: dict[str, Any]) -> str:
    """The body of a callback as it is stored and sent, byte for byte."""
    return json.dumps({"type": event, "timestamp": at.isoformat(), "data": data}, separators=(",", ":"))
