"""Do what each schedule does, with the stores and steps that ``container`` builds.

Intake never needs this module, so ``app`` imports it only in the handlers of the schedules.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib import container, telemetry
from chalicelib.errors import UnavailableError

if TYPE_CHECKING:
    from chalicelib.operations.reconciler import Reconciliation

# At a page of the log. Nobody waits for the hourly check, which would begin again from its start.
_LOG_ATTEMPTS = 8
# Enough for the deliveries of a minute: a file of 10,000 takes less than a second.
_JOURNALING_S = 30.0


def replicate(remaining_s: Callable[[], float], *, helps: bool) -> None:
    """Journal deliveries, move the buffered records to Postgres, and make missing partitions.

    Each is done even if another one fails. Deliveries come first: a run under steady traffic may
    use up the time.

    Args:
        remaining_s: returns how many seconds are left.
        helps: only help with a deep buffer; see ``Replicator.run``.
    """
    if helps:
        container.replicator().run(remaining_s, helps=True)
        return
    try:
        _journal_deliveries(remaining_s)
    finally:
        try:
            container.replicator().run(remaining_s)
        except Exception:
            with suppress(UnavailableError):  # the error of the run says enough
                keep_partitions()
            raise
        try:
            keep_partitions()
        except UnavailableError as error:  # an alarm rings if records stay without partitions
            telemetry.error("the partitions were not made", error)


def keep_partitions() -> None:
    """Make the partitions that are missing; see ``partitions.keep_partitions``."""
    from chalicelib.postgres.partitions import keep_partitions

    retention_months = container.settings().retention_months
    made = keep_partitions(container.database(), datetime.now(UTC), retention_months)
    if made:
        telemetry.event("partitions made", months=made)


def _journal_deliveries(remaining_s: Callable[[], float]) -> None:
    """Write new deliveries to the journal; see ``journal_deliveries.journal_deliveries``.

    Records must not wait for long: what remains after ``_JOURNALING_S`` is left to the next tick.
    """
    journal = container.journal()
    if journal is None:
        return
    from chalicelib.operations.journal_deliveries import journal_deliveries
    from chalicelib.postgres.delivery_outbox import DeliveryOutbox

    timeout_s = container.settings().journal_timeout_s
    until = time.monotonic() + _JOURNALING_S + timeout_s
    journal_deliveries(
        DeliveryOutbox(container.database()),
        journal,
        lambda: min(remaining_s(), until - time.monotonic()),
        timeout_s,
    )


def integrate(remaining_s: Callable[[], float]) -> None:
    """Send the records that are due to the legacy system; see ``Run.run``."""
    from chalicelib import integrator_wiring

    integrator_wiring.integrator_run().run(remaining_s)


def reconcile(
    since: object = None, until: object = None, message: str = telemetry.RECONCILED
) -> Reconciliation:
    """Check every record accepted in a period, by default the last two hours.

    See ``reconciler.period`` and ``reconciler.reconcile``.
    """
    from chalicelib import aws
    from chalicelib.operations import accepted_log, reconciler

    first, end = reconciler.period(since, until, datetime.now(UTC))
    accepted = accepted_log.accepted(
        container.settings().accepted_log, first, end, lambda: aws.logs(_LOG_ATTEMPTS)
    )
    return reconciler.reconcile(
        accepted, container.buffered_items(), container.point_record_store(), message
    )


def end_retention() -> None:
    """Drop the months and the statistics that are too old; see ``retention.end_retention``."""
    from chalicelib.postgres.retention import earlier_now, end_retention

    config = container.settings()
    ended = end_retention(
        container.database(),
        earlier_now(container.database(), datetime.now(UTC)),
        retention_months=config.retention_months,
        run_retention_days=config.run_retention_days,
        is_journaled=bool(config.journal),
    )
    telemetry.event(
        telemetry.RETENTION_ENDED,
        level=logging.WARNING if ended.held else logging.INFO,
        dropped=ended.dropped,
        held=ended.held,
        held_months=len(ended.held),
        runs=ended.runs,
    )


def observe() -> None:
    """Log the depth and age of each stage as metrics, and send the canary if there is one."""
    from chalicelib.operations import health

    health.observe(container.stages())
    if container.settings().canary_employer:
        _send_canary()


def _send_canary() -> None:
    """Measure the canary, and send the next one when it is due; see ``canary.run``."""
    from chalicelib.bounded_call import begin
    from chalicelib.operations import canary
    from chalicelib.postgres import canary_records
    from chalicelib.principal import Principal, Role

    config = container.settings()
    sender = Principal(Role.EMPLOYEE, config.canary_employer, config.canary_employee, "canary")

    def run() -> None:
        canary.run(
            canary.Canary(config.canary_employer, config.canary_employee, config.canary_interval_s),
            datetime.now(UTC),
            container.buffer(),
            container.buffered_items(),
            lambda employer_id, employee_id: canary_records.recent(
                container.database(), employer_id, employee_id, config.health_timeout_s
            ),
            lambda body: container.intake().read(body, sender),
        )

    try:
        begin(run, "The way of the canary")(config.health_timeout_s)
    except UnavailableError as error:  # the metric is missing then, and an alarm rings
        telemetry.error("the canary was not measured", error)


def store_keys() -> None:
    """Copy the issuer's keys to their table, if the stage has both; see ``key_copy.copy_keys``."""
    table = container.key_table()
    if table is not None:
        from chalicelib.identity import factory, key_copy

        key_copy.copy_keys(factory.issuer(container.settings()), table, time.time)
