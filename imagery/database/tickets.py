"""Upload tickets: what each link that was handed out promised."""

from __future__ import annotations

from datetime import timedelta

from imagery.contracts import JobOptions
from imagery.database.engine import Database
from imagery.database.tables import UploadTicket, utc_now


class Tickets:
    """The repository of upload tickets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        ticket_id: str,
        *,
        owner_id: str,
        blob_name: str,
        size_bytes: int,
        content_type: str,
        options: JobOptions,
        callback_url: str | None,
        lifetime: timedelta,
    ) -> UploadTicket:
        """Keep a ticket before its link is handed out."""
        ticket = UploadTicket(
            ticket_id=ticket_id,
            owner_id=owner_id,
            blob_name=blob_name,
            size_bytes=size_bytes,
            content_type=content_type,
            options=options.to_json(),
            callback_url=callback_url,
            expires_at=utc_now() + lifetime,
        )
        with self._database.write() as session:
            session.add(ticket)
        return ticket

    def of_blob(self, blob_name: str) -> UploadTicket | None:
        """The ticket by which ``{owner}/{ticket}/{file}`` was uploaded; None for every other name."""
        parts = blob_name.split("/")
        if len(parts) != 3:
            return None
        with self._database.read() as session:
            ticket = session.get(UploadTicket, parts[1][:64])
        return ticket if ticket is not None and ticket.blob_name == blob_name else None
