"""What the paid stage needs of a provider. How the errors are told apart is the interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from imagery.providers.response import PlacedImage


class Provider(Protocol):
    """A paid image service. Each call is made once, and each of its ends says whether it may be charged.

    =========================== ============================================ ==================
    raised                      meaning                                      charged
    =========================== ============================================ ==================
    ``ServiceUnavailableError`` it failed, or can't be reached               no, ask again
    ``RateLimitedError``        asked for less in a minute                   no, wait
    ``QuotaExhaustedError``     a quota of days, or the money, is used up    no
    ``OutOfServiceError``       an operator has to act                       no
    ``NoPictureError``          the picture or the prompt was judged         no
    ``OddAnswerError``          no picture and no reason                     no, ask once more
    ``CallRejectedError``       the request itself is wrong                  no
    ``PaymentUnknownError``     it went out, and no answer can be read       perhaps, never ask
    =========================== ============================================ ==================
    """

    @property
    def name(self) -> str:
        """The service's name in the ledger."""
        ...

    @property
    def model(self) -> str:
        """The model id."""
        ...

    @property
    def address(self) -> str:
        """Its base URL."""
        ...

    def missing(self) -> str | None:
        """What an operator has to set first, in a sentence. Returns None if nothing is missing."""
        ...

    def offers(self, aspect_ratio: str, thinking_level: str | None) -> bool:
        """Whether the model can be asked for this."""
        ...

    def place(
        self,
        cutout: bytes,
        prompt: str,
        *,
        aspect_ratio: str,
        image_size: str,
        job_id: str,
        thinking_level: str | None = None,
        seed: int | None = None,
        on_send: Callable[[], None] | None = None,
    ) -> PlacedImage:
        """Place the cut-out (encoded, RGBA) in the scene of ``prompt``.

        ``on_send`` runs in the moment before the request goes out; what it raises stops the call.
        Raises ``NanoBananaError`` and its children.
        """
        ...

    def look(self) -> dict[str, Any]:
        """Ask for something that is free, such as the model's description; empty where it is no JSON.

        Raises ``NanoBananaError`` if calls would fail.
        """
        ...
