"""Bound what one response may cost, in time and in bytes, for a query alone or a whole batch."""

import time
from dataclasses import dataclass, replace

from chalicelib.errors import InvalidError, PunchClockError, UnavailableError
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class ResponseBudget:
    """The time and the bytes that a response may take.

    Attributes:
        deadline: the instant of ``time.monotonic()`` by which the response must be complete.
        max_bytes: the maximum size of its body.
        is_partly_spent: earlier requests of the same batch have used part of ``max_bytes``.
    """

    deadline: float
    max_bytes: int
    is_partly_spent: bool = False

    @classmethod
    def for_query(cls, settings: Settings) -> "ResponseBudget":
        return cls(time.monotonic() + settings.odata_timeout_s, settings.odata_answer_bytes)

    @classmethod
    def for_batch(cls, settings: Settings) -> "ResponseBudget":
        return cls(time.monotonic() + settings.odata_batch_timeout_s, settings.odata_answer_bytes)

    def for_individual_request(self, timeout_s: float) -> "ResponseBudget":
        """Return the budget of the next request of a batch, which may take ``timeout_s``.

        Raises:
            UnavailableError: the batch has no time left.
            InvalidError: the batch response has no bytes left.
        """
        now = time.monotonic()
        if now >= self.deadline:
            raise UnavailableError(
                "The batch timed out before this request. Send this request in another batch."
            )
        if self.max_bytes <= 0:
            raise self.exceeded()
        return replace(self, deadline=min(self.deadline, now + timeout_s))

    def after(self, body: str) -> "ResponseBudget":
        """Return what is left of the budget after a response with ``body``."""
        return replace(self, max_bytes=self.max_bytes - len(body.encode()), is_partly_spent=True)

    def exceeded(self) -> PunchClockError:
        """Build the error for a response that would be too large."""
        if self.is_partly_spent:
            return InvalidError(
                "The response to this request would make the batch response too large"
                " (ODATA_ANSWER_BYTES). Send this request in another batch."
            )
        return InvalidError(
            f"A single entity would take more than {self.max_bytes} bytes (ODATA_ANSWER_BYTES)."
            " Request fewer properties or fewer related entities ($select, $expand, $compute)."
        )
