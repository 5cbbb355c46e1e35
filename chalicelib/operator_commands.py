"""Wire the commands of operators and the hourly check, which intake never needs.

``container`` builds the stores and steps; this module gives them to the commands.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from chalicelib import container, telemetry
from chalicelib.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.legacy_check import Check
    from chalicelib.operations.erase import Erased
    from chalicelib.operations.personal_data import PersonalData
    from chalicelib.operations.quarantine import Release
    from chalicelib.operations.reconciler import Reconciliation
    from chalicelib.operations.replay import Replay
    from chalicelib.operations.restore import Restored
    from chalicelib.postgres.connection import Database
    from chalicelib.principal import Principal

# Longer than an invocation, so that the integrator stands still until a restore is continued.
_RESTORE_PAUSE_S = 3_600.0
# A request of an operator returns after some 8 s of work and one more statement, which is before
# the timeouts of API Gateway and of the function, 29 s. A transaction may take four statements.
_REQUEST_S = 8.0
_REQUEST_STATEMENT_TIMEOUT_S = 4.0
_REQUEST_BATCH = 2_000
# At a page of the log. Nobody waits for the hourly check, which would begin again from its start.
_LOG_ATTEMPTS = 8


def manage_access_keys(
    command: Mapping[str, Any], operator: Principal
) -> tuple[Any, dict[str, Any]]:
    """Make, list or revoke access keys; see ``manage_access_keys.manage``."""
    from chalicelib.operations.manage_access_keys import manage
    from chalicelib.postgres.access_key_store import AccessKeyStore

    store = AccessKeyStore(container.database(), container.settings().statement_timeout_s)
    return manage(command, operator.subject, store, datetime.now(UTC))


def restore(since: object, cursor: object, remaining_s: Callable[[], float]) -> Restored:
    """Put back what Postgres has lost; see ``restore.restore``.

    Raises:
        InvalidError: the stage has no journal, or the period is invalid.
    """
    from chalicelib.operations import restore
    from chalicelib.postgres.partitions import Month
    from chalicelib.postgres.personal_records import PersonalRecords
    from chalicelib.postgres.restoration import Restoration

    opened = container.journal()
    if opened is None:
        raise InvalidError("This stage has no journal to restore from: JOURNAL is not set.")
    return restore.restore(
        since,
        cursor,
        opened,
        container.point_record_store(),
        PersonalRecords(container.database()),
        Restoration(container.database(), pause_s=_RESTORE_PAUSE_S),
        remaining_s,
        datetime.now(UTC),
        Month(datetime.now(UTC), -container.settings().retention_months).first,
    )


def erase(
    employer: object,
    employee: object,
    punches: object,
    cursor: object,
    remaining_s: Callable[[], float],
) -> Erased:
    """Erase a person's evidence, and perhaps the punches; see ``erase.erase``.

    Raises:
        InvalidError: a member is invalid. The message names it.
    """
    from chalicelib.operations import erase
    from chalicelib.operations.person import read_person
    from chalicelib.postgres.personal_records import PersonalRecords

    if punches not in (None, False, True):
        raise InvalidError("punches must be true or false.", target="punches")
    return erase.erase(
        read_person(employer, employee),
        cursor,
        container.journal(),
        container.buffer(),
        PersonalRecords(container.database()),
        remaining_s,
        with_punches=punches is True,
        # A page waits for the journal so long; the call that it then abandons may take as long.
        grace_s=3 * container.settings().journal_timeout_s,
    )


def export(employer: object, employee: object, form: object, cursor: object) -> PersonalData:
    """Return one page of a person's data; see ``personal_data.export``."""
    from chalicelib.operations import personal_data
    from chalicelib.operations.person import read_person
    from chalicelib.postgres.personal_records import PersonalRecords

    return personal_data.export(
        read_person(employer, employee),
        form,
        cursor,
        container.buffer(),
        PersonalRecords(container.database()),
    )


def end_retention() -> None:
    """Drop the months and the statistics that are too old; see ``retention.end_retention``."""
    from chalicelib.postgres.retention import end_retention

    config = container.settings()
    ended = end_retention(
        container.database(),
        datetime.now(UTC),
        retention_months=config.retention_months,
        run_retention_days=config.run_retention_days,
        is_journaled=bool(config.journal),
    )
    if ended.dropped or ended.held or ended.runs:
        level = logging.WARNING if ended.held else logging.INFO
        telemetry.event(
            "retention ended", level=level, dropped=ended.dropped, held=ended.held, runs=ended.runs
        )


def reconcile() -> Reconciliation:
    """Check every record accepted in the last two hours; see ``reconciler.reconcile``."""
    return _reconcile(None, None, telemetry.RECONCILED)


def reconcile_period(since: object, until: object) -> Reconciliation:
    """Check every record accepted in a period; see ``reconciler.period`` and ``reconcile``."""
    from chalicelib.operations.reconciler import PERIOD_RECONCILED

    return _reconcile(since, until, PERIOD_RECONCILED)


def _reconcile(since: object, until: object, message: str) -> Reconciliation:
    from chalicelib import aws
    from chalicelib.operations import accepted_log, reconciler

    first, end = reconciler.period(since, until, datetime.now(UTC))
    accepted = accepted_log.accepted(
        container.settings().accepted_log, first, end, lambda: aws.logs(_LOG_ATTEMPTS)
    )
    return reconciler.reconcile(
        accepted, container.buffer(), container.point_record_store(), message
    )


def quarantined() -> list[dict[str, Any]]:
    """List the quarantine; see ``PointRecordStore.quarantined``."""
    return container.point_record_store().quarantined()


def release(quarantine_id: object, record: Mapping[str, Any] | None) -> Release:
    """Return a quarantined item to the pipeline; see ``quarantine.release``."""
    from chalicelib.operations import quarantine

    return quarantine.release(
        quarantine_id,
        record,
        container.point_record_store(),
        clock_skew_s=container.settings().clock_skew_s,
    )


def replay(text: object, by: Principal, remaining_s: Callable[[], float]) -> Replay:
    """Return parked records to the queue; see ``replay.replay``."""
    return _replay(text, by, container.database(), remaining_s)


def _replay(
    text: object,
    by: Principal,
    database: Database,
    remaining_s: Callable[[], float],
    **options: Any,
) -> Replay:
    from chalicelib.odata.language.parser import Bounds
    from chalicelib.odata.sql.filter import translate_filter
    from chalicelib.operations import replay
    from chalicelib.postgres.dead_letters import DeadLetters

    config = container.settings()
    bounds = Bounds(config.odata_max_tokens, config.odata_max_depth)
    return replay.replay(
        text,
        by,
        lambda text, principal: translate_filter(text, principal, bounds),
        DeadLetters(database),
        remaining_s,
        **options,
    )


@cache
def request_database() -> Database:
    """Return the database of operators' requests, whose statements end in time for a response."""
    return container.connect_database("database_url", _REQUEST_STATEMENT_TIMEOUT_S)


def operator_request(name: str, body: bytes, by: Principal) -> Any:
    """Run the command of an operator's request; see ``operator_requests.respond``."""
    from chalicelib import aws
    from chalicelib.operations import (
        accepted_log,
        operator_requests,
        quarantine,
        reconcile_steps,
        reconciler,
    )
    from chalicelib.operations.replay import MARGIN_S
    from chalicelib.postgres.point_records import PointRecordStore

    config = container.settings()
    if config.operator_routes == "off":
        raise NotFoundError(
            "This stage has no routes for operators (OPERATOR_ROUTES=off). Invoke its functions:"
            " docs/operations.md."
        )
    until = time.monotonic() + _REQUEST_S

    def store() -> PointRecordStore:  # built only once the operator is known to be one
        return PointRecordStore(request_database())

    def reconcile(since: object, end: object, cursor: object) -> reconcile_steps.Step:
        now = datetime.now(UTC)
        first, last = reconciler.period(since, end, now)
        return reconcile_steps.step(
            first,
            min(last, now),
            cursor,
            lambda since, until, check: accepted_log.accepted(
                config.accepted_log, since, until, aws.logs, check
            ),
            container.buffer(),
            store(),
            _REQUEST_S,
        )

    return operator_requests.respond(
        name,
        body,
        by,
        operator_requests.Actions(
            replay=lambda text, operator, cursor: _replay(
                text,
                operator,
                request_database(),
                lambda: until - time.monotonic() + MARGIN_S,
                batch=_REQUEST_BATCH,
                cursor=cursor,
            ),
            quarantined=lambda before: store().quarantined(before),
            release=lambda quarantine_id, record: quarantine.release(
                quarantine_id, record, store(), clock_skew_s=config.clock_skew_s
            ),
            reconcile=reconcile,
        ),
    )


def check_legacy(event: Mapping[str, Any]) -> Check:
    """Show a request to the legacy, and judge a response; see ``legacy_check.check``."""
    from chalicelib.integrator.legacy import legacy_check

    return legacy_check.check(
        container.legacy_endpoint(),
        container.settings().max_attempts,
        punch=event.get("record"),
        response=event.get("response"),
        send=event.get("send", False),
    )


def migrate() -> list[str]:
    """Apply every new migration to the database; see ``postgres.migrate``."""
    from chalicelib.postgres.migrate import migrate

    applied = migrate(container.database())
    container.keep_partitions()
    return applied
