"""Move deliveries from the outbox to the journal: the second half of what the journal has.

    flush of the integrator: settle + outbox ──▶ this: journal file ──▶ remove from the outbox

A run that is killed after it has written a file writes the same deliveries again. A restore marks a
record as delivered once, even if the journal says so twice.
"""

from collections.abc import Callable
from functools import partial

from chalicelib.bounded_call import begin
from chalicelib.journal.journal_files import DELIVERIES, Journal
from chalicelib.journal.journal_lines import delivery_lines
from chalicelib.postgres.delivery_outbox import DeliveryOutbox
from chalicelib.record_id import BEFORE_ALL_IDS

# Most deliveries of one file.
_BATCH = 10_000
# The time kept for the last batch, beyond the time-out of the journal.
_MARGIN_S = 5.0


def journal_deliveries(
    outbox: DeliveryOutbox,
    journal: Journal,
    remaining_s: Callable[[], float],
    timeout_s: float,
) -> int:
    """Write the deliveries of the outbox to the journal, and return how many there were.

    Args:
        outbox: the source.
        journal: the destination.
        remaining_s: returns the time left. What it does not suffice for is left to the next run.
        timeout_s: how long to wait for the journal.

    Raises:
        UnavailableError: a store did not answer. Deliveries that are not journaled stay in the
            outbox.
    """
    count, after = 0, BEFORE_ALL_IDS
    while remaining_s() > timeout_s + _MARGIN_S:
        deliveries = outbox.next(after, _BATCH)
        if not deliveries:
            break
        lines = delivery_lines(deliveries)
        begin(partial(journal.write, DELIVERIES, lines), "The journal")(timeout_s)
        ids = [record_id for record_id, _ in deliveries]
        outbox.remove(ids)
        count, after = count + len(ids), ids[-1]
        if len(ids) < _BATCH:
            break
    return count
