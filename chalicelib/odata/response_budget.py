"""What the answer to one request may cost, whatever it asks for, and however often."""

import time
from dataclasses import dataclass, replace

from chalicelib.errors import InvalidError, PunchClockError, UnavailableError
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class Allowance:
    """The time and the room that an answer has.

    ``until`` is the instant of ``time.monotonic()`` by which it must be there, ``max_bytes`` how
    long it may be. ``is_rest`` says that others of the same batch have had of it.
    """

    until: float
    max_bytes: int
    is_rest: bool = False

    @classmethod
    def of_query(cls, settings: Settings) -> "Allowance":
        return cls(time.monotonic() + settings.odata_timeout_s, settings.odata_answer_bytes)

    @classmethod
    def of_batch(cls, settings: Settings) -> "Allowance":
        return cls(time.monotonic() + settings.odata_batch_timeout_s, settings.odata_answer_bytes)

    def for_part(self, seconds: float) -> "Allowance":
        """Return what one query of a batch has, which may take so many seconds at most.

        Raises:
            UnavailableError: no time is left.
            InvalidError: no room is left.
        """
        now = time.monotonic()
        if now >= self.until:
            raise UnavailableError("There was no time left for this part of the batch.")
        if self.max_bytes <= 0:
            raise self.no_room()
        return replace(self, until=min(self.until, now + seconds))

    def without(self, answered: str) -> "Allowance":
        """Return what is left once something was answered."""
        return replace(self, max_bytes=self.max_bytes - len(answered.encode()), is_rest=True)

    def no_room(self) -> PunchClockError:
        """Build the error about an answer that finds no room."""
        if self.is_rest:
            return InvalidError(
                "There was no room left for the answer to this part of the batch"
                " (ODATA_ANSWER_BYTES)."
            )
        return InvalidError(
            f"A single entity would be over {self.max_bytes} bytes (ODATA_ANSWER_BYTES)."
            " Ask for less of it ($select, $expand, $compute)."
        )
