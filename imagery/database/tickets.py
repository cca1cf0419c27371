"""Upload tickets: what each link that was handed out promised."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import col, select

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
        file_name: str | None = None,
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
            file_name=file_name,
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
        return self.of_blobs([blob_name]).get(blob_name)

    def of_blobs(self, blob_names: list[str]) -> dict[str, UploadTicket]:
        """``of_blob`` for many, by name; those without a ticket are not in it."""
        ids = {name: parts[1][:64] for name in blob_names if len(parts := name.split("/")) == 3}
        if not ids:
            return {}
        with self._database.read() as session:
            found = list(
                session.exec(select(UploadTicket).where(col(UploadTicket.ticket_id).in_(set(ids.values()))))
            )
        return {ticket.blob_name: ticket for ticket in found if ticket.blob_name in ids}
