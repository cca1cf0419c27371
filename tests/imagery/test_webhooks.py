"""Signatures, as a receiver checks them with the published library."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from imagery.webhooks import SigningKeyError, event_body, signed_headers, webhook_secret

MASTER = SecretStr("m" * 32)


def test_a_receiver_can_verify_what_was_signed() -> None:
    secret = webhook_secret(MASTER, "ann", 1)
    body = event_body("job.completed", datetime.now(UTC), {"job_id": "x", "text": "ü"})
    headers = signed_headers(secret, "msg_1", datetime.now(UTC), body)
    assert Webhook(secret).verify(body, headers)["data"]["job_id"] == "x"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace("completed", "rejected"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook_secret(MASTER, "bob", 1)).verify(body, headers)


def test_the_signature_is_the_one_of_the_specification() -> None:
    secret, at, body = webhook_secret(MASTER, "ann", 1), datetime.fromtimestamp(1_700_000_000, UTC), "{}"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1.1700000000.{}", hashlib.sha256).digest()
    headers = signed_headers(secret, "msg_1", at, body)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1700000000")


def test_each_user_and_version_has_a_secret_of_its_own() -> None:
    secrets = {webhook_secret(MASTER, user, version) for user in ("ann", "bob") for version in (1, 2)}
    assert len(secrets) == 4
    assert webhook_secret(MASTER, "ann", 1) in secrets


@pytest.mark.parametrize("master", [None, SecretStr(""), SecretStr("too short")])
def test_without_a_proper_key_nothing_is_signed(master: SecretStr | None) -> None:
    with pytest.raises(SigningKeyError):
        webhook_secret(master, "ann", 1)
