"""The ledger of paid calls: ``reserved -> sent -> settled | released | unknown``.

Activities run at least once and must not pay twice. An entry is reserved before the call. It becomes
``sent`` in the moment the request goes out, which only one caller can do. The response settles or releases
it. A ``sent`` entry without a response is ``unknown``: it may have been charged, so no call is repeated
without an operator.

An entry is reserved at the price of the order and closed at the price of what came. What came is recorded
before its picture is stored, so whoever closes the entry, after whatever crash, knows the price.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from imagery.contracts import JobState, Stage, StageState
from imagery.database.budget import Budgets, charge_again, refund
from imagery.database.engine import Database
from imagery.database.events import record
from imagery.database.job_rows import lock_job, stage_row
from imagery.database.ledger_rows import (
    blocks,
    count_outcome,
    entries_of,
    id_of,
    is_being_made,
    load_entry,
    may_be_answered,
    settled_usd,
    take_due,
)
from imagery.database.money import UNACCOUNTED, UNDER_WAY, SpendState, to_micro, to_usd
from imagery.database.paid_answers import MAX_NAME, PaidAnswer, forget
from imagery.database.tables import ImageJob, SpendEntry, utc_day, utc_now
from imagery.prices import PictureOrder
from imagery.text import plain


class NotPayableError(Exception):
    """The call must not be made: the job has ended or is in a later run."""


class AlreadySentError(Exception):
    """Another attempt at the same work has sent the call; look for its result a little later."""


class PriceAboveMaxError(Exception):
    """The picture costs more than its owner wants to pay."""

    code = "price_above_max"


class SamePicturePendingError(Exception):
    """Another job pays for the same picture or is about to deliver it: it can be reused for nothing then."""

    code = "same_picture_pending"


class NothingToResolveError(Exception):
    """The job has no paid call whose outcome is unknown."""


@dataclass(frozen=True)
class Reservation:
    """What the ledger says before a call. ``wait_s`` is set while a call of another attempt is under way.

    ``released_for``: why the reservation of the attempt before this one was released. ``refused_for``: why
    a settled call brought no picture, where the provider has charged that.
    """

    entry_id: int
    state: SpendState
    wait_s: float | None = None
    released_for: str | None = None
    refused_for: str | None = None


class Ledger:
    """The spend ledger. ``answer_within``: how long a response to a sent call may take."""

    def __init__(self, database: Database, answer_within: timedelta, budgets: Budgets) -> None:
        self._database = database
        self._answer_within = answer_within
        self._budgets = budgets

    def reserve(
        self,
        job_id: str,
        run: int,
        stage: Stage,
        price_usd: float,
        *,
        same_as: str | None = None,
        order: PictureOrder | None = None,
        max_usd: float | None = None,
    ) -> Reservation:
        """Reserve the price for this run, or report why there is nothing to reserve.

        ``reserved``: go on. ``settled``: it is paid, use the stored result. ``sent``: another call is
        under way, look again in ``wait_s``. ``unknown``: do not call. Raises ``NotPayableError`` when
        the job has ended, ``PriceAboveMaxError`` when the price is above ``max_usd``,
        ``BudgetExhaustedError`` when the day's budget has no room, and ``SamePicturePendingError`` while
        another job makes the same result (``same_as``, a key).
        """
        with self._database.write() as session:
            job = _payable(session, job_id, run)
            entries = entries_of(session, job_id, stage)
            blocking = next((entry for entry in entries if blocks(entry, run)), None)
            if blocking is not None:
                return self._standing(session, job, blocking)
            if max_usd is not None and to_micro(price_usd) > to_micro(max_usd):
                text = (
                    f"The picture costs ${price_usd:.4g} now, and the request allows ${max_usd:.4g} at most."
                )
                raise PriceAboveMaxError(text)
            entry = next((each for each in entries if each.attempt_group == run), None)
            if entry is None:
                entry = SpendEntry(
                    job_id=job_id,
                    owner_id=job.owner_id,
                    stage=stage.value,
                    attempt_group=run,
                    state=SpendState.RESERVED,
                    price_micro_usd=to_micro(price_usd),
                )
            released_for = entry.note
            entry.state = SpendState.RESERVED
            entry.closed_at = entry.sent_at = entry.note = None
            entry.reserved_at, entry.day = utc_now(), utc_day()
            entry.result_key = same_as
            entry.price_micro_usd = to_micro(price_usd)
            if order is not None:
                entry.provider, entry.model = order.provider, plain(order.model, MAX_NAME)
                entry.image_size = order.size.value
            forget(entry)
            self._budgets.charge(session, entry)
            # checked after the charge, which lets only one transaction at a time through
            if same_as is not None and is_being_made(session, same_as, job_id):
                raise SamePicturePendingError("The same picture is being made for another job.")
            session.add(entry)
            session.flush()
            record(session, job, "spend_reserved", stage=stage, price_usd=price_usd)
            return Reservation(id_of(entry), SpendState.RESERVED, released_for=released_for)

    def mark_sent(self, entry_id: int, run: int) -> None:
        """Claim the right to send the request, in the moment before it goes out.

        Raises ``NotPayableError`` when the job has ended meanwhile, ``AlreadySentError`` when another
        caller was first.
        """
        with self._database.write() as session:
            job_id = load_entry(session, entry_id).job_id
            job = _payable(session, job_id, run)
            entry = load_entry(session, entry_id)
            session.refresh(entry)
            if entry.state != SpendState.RESERVED:
                raise AlreadySentError(f"the entry is {entry.state}")
            entry.state = SpendState.SENT
            entry.sent_at = utc_now()
            entry.calls += 1
            record(session, job, "spend_sent", stage=Stage(entry.stage), call=entry.calls)

    def record_answer(self, entry_id: int, answer: PaidAnswer) -> None:
        """Keep what came of a sent call, and its price, before its picture is stored; the state stays.

        The price moves the day's budgets when the entry is closed. A call that an operator has found on
        the bill meanwhile keeps the price at which it was closed.
        """
        with self._database.write() as session:
            entry = load_entry(session, entry_id)
            job = lock_job(session, entry.job_id)
            session.refresh(entry)
            answer.write_on(entry)
            session.add(entry)
            if job is not None and entry.image_size and entry.delivered_size != entry.image_size:
                record(
                    session,
                    job,
                    "size_not_delivered",
                    stage=Stage(entry.stage),
                    level="warning",
                    ordered=entry.image_size,
                    delivered=entry.delivered_size,
                    width=answer.width,
                    height=answer.height,
                )

    def settle_refusal(self, entry_id: int, code: str, answer: PaidAnswer) -> None:
        """Close a sent call that brought no picture and was charged. A later run may pay again."""
        with self._database.write() as session:
            entry = load_entry(session, entry_id)
            job = lock_job(session, entry.job_id)
            session.refresh(entry)
            if entry.state not in UNACCOUNTED:
                return
            answer.write_on(entry)
            entry.result_lost = True
            self._close(session, entry, SpendState.SETTLED, code, job)
            stage = Stage(entry.stage)
            row = stage_row(session, entry.job_id, stage)
            if row is not None:
                row.cost_usd = settled_usd(entries_of(session, entry.job_id, stage))

    def settle(self, session: Session, job_id: str, stage: Stage) -> float:
        """Settle what was sent for this stage, in the caller's transaction: its answer is there.

        A picture that arrives after an operator has found no charge is the better proof: it is charged again.
        Returns what the stage has cost in all its runs, USD.
        """
        # the job's lock comes first, as everywhere, so that two writers can't wait for each other
        lock_job(session, job_id)
        entries = entries_of(session, job_id, stage)
        sent = [entry for entry in entries if entry.state in UNACCOUNTED]
        for entry in sent:
            self._close(session, entry, SpendState.SETTLED, None)
        if not sent and not any(entry.state == SpendState.SETTLED for entry in entries):
            for entry in [each for each in entries if each.resolved_by][-1:]:
                charge_again(session, entry)
                self._close(session, entry, SpendState.SETTLED, "its picture arrived after all")
        return settled_usd(entries)

    def lose_result(self, session: Session, job_id: str, stage: Stage, note: str) -> None:
        """What was settled for this stage may not be used: a later run may pay again. The job is locked."""
        for entry in entries_of(session, job_id, stage):
            if entry.state == SpendState.SETTLED and not entry.result_lost:
                entry.result_lost, entry.note = True, note
                session.add(entry)

    def answered_runs(self, job_id: str, run: int, stage: Stage) -> list[int]:
        """The runs whose paid answer ``run`` may use if it is stored, the newest first."""
        with self._database.read() as session:
            entries = entries_of(session, job_id, stage)
        return [entry.attempt_group for entry in reversed(entries) if may_be_answered(entry, run)]

    def answered_model(self, job_id: str, run: int, stage: Stage) -> str | None:
        """The model behind the newest answer that ``run`` may use. Returns None if no call says."""
        with self._database.read() as session:
            entries = entries_of(session, job_id, stage)
        usable = [entry for entry in reversed(entries) if may_be_answered(entry, run)]
        return next((entry.answered_model or entry.model for entry in usable), None)

    def release(self, entry_id: int, note: str) -> None:
        """Release the reservation: nothing was charged."""
        self._finish(entry_id, SpendState.RELEASED, note)

    def mark_unknown(self, entry_id: int, note: str) -> None:
        """Record that the request went out and may have been charged."""
        self._finish(entry_id, SpendState.UNKNOWN, note)

    def abandon(self, entry_id: int) -> None:
        """Our own code failed: release the entry if it was not sent, else mark it unknown."""
        with self._database.read() as session:
            sent = load_entry(session, entry_id).state == SpendState.SENT
        if sent:
            self.mark_unknown(entry_id, "the call was interrupted after it was sent")
        else:
            self.release(entry_id, "the call was interrupted before it was sent")

    def resolve(self, job_id: str, stage: Stage, *, charged: bool, by: str) -> SpendEntry:
        """Close an unknown call by what an operator found on the bill.

        Charged: it counts as spent, and a retry of the job, being a new request, may pay again. Not
        charged: its price goes back to the budget of its day. Raises ``NothingToResolveError``.
        """
        with self._database.write() as session:
            job = lock_job(session, job_id)
            entries = entries_of(session, job_id, stage) if job else []
            entry = next((each for each in entries if self._is_unknown(each)), None)
            if entry is None:
                raise NothingToResolveError(f"job {job_id} has no call of unknown outcome")
            entry.resolved_by, entry.result_lost = by, charged
            note = "an operator found it on the bill" if charged else "an operator found no charge"
            self._close(session, entry, SpendState.SETTLED if charged else SpendState.RELEASED, note, job)
            row = stage_row(session, job_id, stage)
            if row is not None and row.state != StageState.SUCCEEDED:
                row.cost_usd = settled_usd(entries)
            return entry

    def overdue(self, limit: int) -> list[SpendEntry]:
        """Sent calls whose process died, so that no response can come any more, the oldest first."""
        query = (
            select(SpendEntry)
            .where(SpendEntry.state == SpendState.SENT)
            .where(col(SpendEntry.sent_at) < utc_now() - self._answer_within)
            .order_by(col(SpendEntry.sent_at))
            .limit(limit)
        )
        with self._database.read() as session:
            return list(session.exec(query))

    def _is_unknown(self, entry: SpendEntry) -> bool:
        is_overdue = entry.state == SpendState.SENT and self._remaining_s(entry.sent_at) <= 0
        return entry.state == SpendState.UNKNOWN or is_overdue

    def has_unknown(self, job_id: str) -> bool:
        """True if a call of the job went out and may have been charged."""
        with self._database.read() as session:
            query = select(SpendEntry.id).where(
                SpendEntry.job_id == job_id,
                col(SpendEntry.state).in_(UNACCOUNTED),
            )
            return session.exec(query).first() is not None

    def _standing(self, session: Session, job: ImageJob, entry: SpendEntry) -> Reservation:
        if entry.state != SpendState.SENT:
            refused_for = entry.note if entry.result_lost and entry.resolved_by is None else None
            return Reservation(id_of(entry), SpendState(entry.state), refused_for=refused_for)
        remaining = self._remaining_s(entry.sent_at)
        if remaining > 0:
            return Reservation(id_of(entry), SpendState.SENT, wait_s=remaining)
        self._close(session, entry, SpendState.UNKNOWN, "no response was recorded in time", job)
        return Reservation(id_of(entry), SpendState.UNKNOWN)

    def _remaining_s(self, sent_at: datetime | None) -> float:
        if sent_at is None:
            return 0.0
        return (sent_at + self._answer_within - utc_now()).total_seconds()

    def _finish(self, entry_id: int, state: SpendState, note: str) -> None:
        with self._database.write() as session:
            entry = load_entry(session, entry_id)
            lock_job(session, entry.job_id)
            session.refresh(entry)
            if entry.state in UNDER_WAY:
                self._close(session, entry, state, note)

    def _close(
        self,
        session: Session,
        entry: SpendEntry,
        state: SpendState,
        note: str | None,
        job: ImageJob | None = None,
    ) -> None:
        if state is not SpendState.RELEASED:
            take_due(session, entry)
        count_outcome(session, entry, state)
        entry.state = state
        entry.note = note
        entry.closed_at = utc_now()
        session.add(entry)
        if state is SpendState.RELEASED:
            refund(session, entry)
        owner = job or session.get(ImageJob, entry.job_id)
        if owner is not None:
            record(
                session,
                owner,
                f"spend_{state.value}",
                stage=Stage(entry.stage),
                level="error" if state is SpendState.UNKNOWN else "info",
                price_usd=to_usd(entry.price_micro_usd),
                **({"note": note} if note else {}),
            )


def _payable(session: Session, job_id: str, run: int) -> ImageJob:
    job = lock_job(session, job_id)
    if job is None or job.run != run or JobState(job.state).is_terminal:
        raise NotPayableError("the job has ended")
    return job
