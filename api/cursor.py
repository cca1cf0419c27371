"""Cursors of lists that are sorted newest first: a time and an id, opaque to callers."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timedelta

from api.errors import ApiError
from imagery.text import is_id


def format_cursor(at: datetime, last_id: str) -> str:
    """The cursor behind the last entry of a page."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), last_id]).encode()).decode()


def parse_cursor(cursor: str) -> tuple[datetime, str]:
    """The moment and the id of a cursor. Raises ``ApiError`` 422."""
    try:
        at, last_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        moment = datetime.fromisoformat(at)
        if moment.utcoffset() != timedelta(0) or not is_id(last_id):
            raise ValueError(cursor)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        detail = "The cursor does not come from this API. Leave it out to start with the first page."
        raise ApiError(422, "invalid_cursor", detail) from None
    return moment, last_id
