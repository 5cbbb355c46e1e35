"""Wire the commands of operators, with the stores and steps that ``container`` builds.

Where a command takes a database, ``operator_route`` gives it one whose statements end earlier.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalicelib import container
from chalicelib.errors import InvalidError
from chalicelib.point_record import MAX_INT64

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


def perform(
    action: str,
    event: object,
    act: Callable[[Principal], tuple[Any, Mapping[str, object]]],
    *,
    members: Sequence[str] = (),
    redacted: Sequence[str] = (),
) -> Any:
    """Run an operator command and audit it; see ``operations.audited_command.perform``."""
    from chalicelib.operations.audited_command import perform

    container.settings()  # configures the log
    return perform(
        action,
        event,
        lambda token: container.authenticator().authenticate_token(token),
        act,
        members=members,
        redacted=redacted,
    )


def manage_access_keys(
    command: Mapping[str, Any],
    operator: Principal,
    database: Database | None = None,
    **options: int,
) -> tuple[Any, dict[str, Any]]:
    """Make, list or revoke access keys; see ``manage_access_keys.manage``."""
    from chalicelib.operations.manage_access_keys import manage
    from chalicelib.postgres.access_key_store import AccessKeyStore

    store = AccessKeyStore(
        database or container.database(), container.settings().statement_timeout_s
    )
    return manage(command, operator.subject, store, datetime.now(UTC), **options)


def restore(since: object, cursor: object, remaining_s: Callable[[], float]) -> Restored:
    """Put back what Postgres has lost; see ``restore.restore``.

    Raises:
        InvalidError: the stage has no journal, or the period is invalid.
    """
    from chalicelib.operations import restore
    from chalicelib.postgres.partitions import Month
    from chalicelib.postgres.personal_records import PersonalRecords
    from chalicelib.postgres.restoration import Restoration

    journal = container.journal()
    if journal is None:
        raise InvalidError("This stage has no journal to restore from: JOURNAL is not set.")
    return restore.restore(
        since,
        cursor,
        restore.Stores(
            journal,
            container.point_record_store(),
            PersonalRecords(container.database()),
            Restoration(container.database()),
        ),
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

    if punches is not None and not isinstance(punches, bool):
        raise InvalidError("punches must be true or false.", target="punches")
    return erase.erase(
        read_person(employer, employee),
        cursor,
        erase.Stores(
            container.buffered_items(),
            PersonalRecords(container.database()),
            container.journal(),
        ),
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
        container.buffered_items(),
        PersonalRecords(container.database()),
    )


def reconcile_period(since: object, until: object) -> Reconciliation:
    """Check every record accepted in a period; see ``schedules.reconcile``."""
    from chalicelib import schedules
    from chalicelib.operations.reconciler import PERIOD_RECONCILED

    return schedules.reconcile(since, until, PERIOD_RECONCILED)


def quarantined(database: Database | None = None, before: int = MAX_INT64) -> list[dict[str, Any]]:
    """List the quarantine; see ``QuarantinedItems.listed``."""
    from chalicelib.postgres.quarantined_items import QuarantinedItems

    return QuarantinedItems(database or container.database()).listed(before)


def release(
    quarantine_id: object, record: Mapping[str, Any] | None, database: Database | None = None
) -> Release:
    """Return a quarantined item to the pipeline; see ``quarantine.release``."""
    from chalicelib.operations import quarantine
    from chalicelib.postgres.quarantined_items import QuarantinedItems

    return quarantine.release(
        quarantine_id,
        record,
        QuarantinedItems(database or container.database()),
        clock_skew_s=container.settings().clock_skew_s,
    )


def replay(
    text: object,
    by: Principal,
    remaining_s: Callable[[], float],
    database: Database | None = None,
    **options: Any,
) -> Replay:
    """Return parked records to the queue; see ``replay.replay``."""
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
        DeadLetters(database or container.database()),
        remaining_s,
        **options,
    )


def check_legacy(event: Mapping[str, Any]) -> Check:
    """Show a request to the legacy, and judge a response; see ``legacy_check.check``."""
    from chalicelib import integrator_wiring
    from chalicelib.integrator.legacy import legacy_check

    return legacy_check.check(
        integrator_wiring.legacy_endpoint(),
        container.settings().max_attempts,
        punch=event.get("record"),
        response=event.get("response"),
        send=event.get("send", False),
    )


def migrate() -> list[str]:
    """Apply every new migration to the database; see ``postgres.migrate``."""
    from chalicelib import schedules
    from chalicelib.postgres.migrate import migrate

    applied = migrate(container.database())
    schedules.keep_partitions()
    return applied
