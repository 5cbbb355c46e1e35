"""Liveness: decide from deliveries whether a failed call is the record's fault or the legacy's.

A failed or refused call, and one without a response, counts as an attempt only if the legacy was
alive for others: a call that was sent later was delivered. Calls that were sent during a silence
never count: at the end of an outage the next probe is delivered, and that says nothing about the
record of the last one. A silence begins when a streak of records without a delivery is clearly
longer than usual. It ends with the run: else many bad records would keep one another from counting.

A legacy that fails now and then, or is up and down in turn, is alive for others all the time.
``failure_share`` keeps the records that it fails by chance from being parked.

A refusal is a sign of health only while deliveries happen. A gateway that answers 404 for a legacy
that is away refuses every record, and the limiter must see failures.

Which streak is long depends on the streaks before. If half of all records are refused for their
content, streaks of ten are common. Suspects, records that have used up an attempt, do not count
towards a streak: they are expected to fail again.

This module does no I/O. The dispatcher reports calls and results in the order in which they
happen.
"""

from chalicelib.integrator.outcome import CallResult, Outcome

# A streak of this many different records is a silence, while streaks are rare. If bad records
# arrive together, only the first ones use up an attempt; the others do when they are retried.
_SILENCE_RECORDS = 3
# A refusal is healthy in a streak of at most this many results, while streaks are rare. A higher
# number lets the limit rise on the first refusals of an outage.
_HEALTHY_CALLS = 10
# Both numbers grow by this many mean streaks: at random, one streak in some 10,000 is longer. The
# mean is taken over about the last ``_STREAKS``. The bound keeps the calls of an outage few, even
# if many bad records came before it.
_MEAN_STREAKS, _STREAKS = 10, 20
_MAX_GROWTH = 100.0
# The legacy delivers nothing if a streak has more results than this, of at least this many
# different records. Fewer records may themselves be at fault.
_ALARM_CALLS, _MIN_RECORDS = 30, 3


class Liveness:
    """What the deliveries of one run show about the legacy. It belongs to one thread.

    Calls have numbers in the order in which they are sent; a clock may give two calls one instant.

    Attributes:
        delivered: the highest number of a call that was delivered; 0 without any.
    """

    def __init__(self) -> None:
        self.delivered = 0
        self._sent = 0
        # The calls in flight by record id: the number, and whether it was sent in a silence.
        self._in_flight: dict[str, tuple[int, bool]] = {}
        self._results_since_delivery = 0  # without those of suspects
        self._failed_in_a_row = 0  # with those of suspects
        self._mean_streak = 0.0  # results between two deliveries
        self._is_known_alive = False  # since a delivery, perhaps one of the last run
        self._silent: set[str] = set()  # records in the present streak, without suspects
        self._undelivered: set[str] = set()  # failed and refused since the last delivery

    @property
    def is_silent(self) -> bool:
        """Whether the latest records were not delivered."""
        return len(self._silent) >= _SILENCE_RECORDS + self._growth

    @property
    def awaits_delivery(self) -> bool:
        """Whether the latest calls were not delivered, those of suspects among them."""
        return self._failed_in_a_row >= _SILENCE_RECORDS + self._growth

    def on_start(self, record_id: str) -> None:
        """Note a call that is being sent."""
        self._sent += 1
        self._in_flight[record_id] = (self._sent, self.is_silent)

    def on_result(
        self, record_id: str, result: CallResult, *, is_suspect: bool = False
    ) -> int | None:
        """Note a call's result.

        Args:
            record_id: the record.
            result: how the call ended.
            is_suspect: whether the record has used up an attempt before. Its next failure is no
                surprise, and says nothing about the legacy's health.

        Returns:
            The call's number, if it is undecided: it counts as an attempt once ``delivered`` is
            higher. None if it never counts, or has delivered its record.
        """
        number, in_silence = self._in_flight.pop(record_id)
        if result.outcome is Outcome.DELIVERED:
            if self.delivered:  # what precedes the first delivery may be an outage
                streak = min(self._results_since_delivery, _HEALTHY_CALLS + self._growth)
                self._mean_streak += (streak - self._mean_streak) / _STREAKS
            self._results_since_delivery = self._failed_in_a_row = 0
            self.delivered = max(self.delivered, number)
            self._is_known_alive = True
            self._silent.clear()
            self._undelivered.clear()
            return None
        self._failed_in_a_row += 1
        if not is_suspect:
            self._results_since_delivery += 1
            if not self.is_silent:
                self._silent.add(record_id)
            if result.outcome is not Outcome.OVERLOADED and len(self._undelivered) < _MIN_RECORDS:
                self._undelivered.add(record_id)
        return number if result.may_be_the_records_fault and not in_silence else None

    @property
    def refusals_are_healthy(self) -> bool:
        """Whether a refusal says nothing against the health of the legacy."""
        longest = _HEALTHY_CALLS + self._growth
        return self._is_known_alive and self._results_since_delivery <= longest

    @property
    def _growth(self) -> float:
        """By how much a streak may be longer than while streaks are rare."""
        return min(_MAX_GROWTH, _MEAN_STREAKS * self._mean_streak)

    def delivers_nothing(self, *, run_ends: bool = False) -> bool:
        """Return whether all calls since the last delivery fail or are refused, for sure.

        Args:
            run_ends: no more calls follow, so a few records are enough if none was delivered.
        """
        is_sure = self._results_since_delivery > _ALARM_CALLS or (run_ends and not self.delivered)
        return is_sure and len(self._undelivered) >= _MIN_RECORDS

    def snapshot(self) -> bool:
        """Return for the next run whether the legacy is known to be alive."""
        return self._is_known_alive and not self.is_silent

    def restore(self, snapshot: object) -> None:
        """Continue from the last run's snapshot; ignore anything else."""
        self._is_known_alive = snapshot is True
