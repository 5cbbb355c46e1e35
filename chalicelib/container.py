"""The one place of wiring: builds each store, client and step once per process, on first use.

Intake is what most processes are for, so its parts are imported with this module; whatever only
other handlers need is imported where it is built.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from chalicelib import aws, telemetry
from chalicelib.buffer import Buffer
from chalicelib.errors import MisconfiguredError
from chalicelib.intake import Intake, as_awaiting
from chalicelib.settings import Settings, SettingsError, is_reference

if TYPE_CHECKING:
    from chalicelib.identity.authenticator import Authenticator
    from chalicelib.integrator.run import Run
    from chalicelib.odata.router import Router
    from chalicelib.operations.quarantine import Release
    from chalicelib.operations.reconciler import Reconciliation
    from chalicelib.operations.replay import Replay
    from chalicelib.point_record import PointRecord
    from chalicelib.postgres.connection import Database
    from chalicelib.postgres.point_records import PointRecordStore
    from chalicelib.postgres.read_session import ReadSession
    from chalicelib.principal import Principal
    from chalicelib.replicator import Replicator


@cache
def settings() -> Settings:
    """Return the settings, read from the environment once."""
    found = Settings.from_env(os.environ)
    telemetry.configure(found.log_level, found.metrics_namespace)
    return found


@cache
def resolved(name: str) -> str:
    """Return a setting that may be a reference, read once per process.

    Raises:
        MisconfiguredError: what it refers to cannot be read, and asking again will not help.
    """
    value: str = getattr(settings(), name)
    if not is_reference(value):
        return value
    from chalicelib import secret_references

    try:
        return secret_references.read(name.upper(), value, aws.secrets)
    except SettingsError as error:
        raise MisconfiguredError(f"{name.upper()} refers to what cannot be read.") from error


@cache
def dynamodb() -> Any:
    """Return the client of the buffer.

    Raises:
        MisconfiguredError: this process has no region, or a profile that there is not.
    """
    try:
        return aws.dynamodb()
    except BotoCoreError as error:
        raise MisconfiguredError("This process cannot tell where its buffer is.") from error


@cache
def authenticator() -> Authenticator:
    """Build what tells who asks; see ``identity.configured.authenticator``."""
    from chalicelib.identity import factory

    return factory.authenticator(settings(), resolved("jwt_key"))


def authenticate(authorizations: Sequence[str]) -> Principal:
    """Return whom a request is of; see ``Authenticator.authenticate``."""
    return authenticator().authenticate(authorizations)


@cache
def buffer() -> Buffer:
    return Buffer(dynamodb(), settings().point_record_table)


@cache
def intake() -> Intake:
    found = settings()
    return Intake(
        buffer(),
        lambda: datetime.now(UTC),
        clock_skew_s=found.clock_skew_s,
        max_body_bytes=found.max_body_bytes,
        max_batch=found.max_batch,
        threads=found.intake_threads,
    )


@cache
def database() -> Database:
    return _database(resolved("database_url"))


@cache
def queried_database() -> Database:
    """Return the database that queries read from."""
    url = resolved("odata_database_url")
    return _database(url) if url else database()


def _database(url: str) -> Database:
    from chalicelib.postgres.connection import Database

    found = settings()
    return Database(
        url,
        pool=found.database_pool,
        connect_timeout_s=found.database_connect_timeout_s,
        statement_timeout_s=found.statement_timeout_s,
    )


@cache
def point_record_store() -> PointRecordStore:
    from chalicelib.postgres.point_records import PointRecordStore

    return PointRecordStore(database())


@cache
def replicator() -> Replicator:
    from chalicelib.replicator import Replicator

    found = settings()
    return Replicator(
        buffer(),
        point_record_store(),
        segments=found.replication_segments,
        page=found.replication_page,
        deleters=found.replication_deleters,
        margin_s=found.replication_margin_s,
    )


def integrator_run() -> Run:
    """Build a run of the integrator. Unlike everything else here, each run is a new object."""
    from chalicelib.integrator import limiter
    from chalicelib.integrator.call_pool import CallPool
    from chalicelib.integrator.database_worker import DatabaseWorker
    from chalicelib.integrator.legacy_client import LegacyEndpoint
    from chalicelib.integrator.retry_policy import RetryPolicy
    from chalicelib.integrator.run import Run
    from chalicelib.postgres.claims import Claims

    found = settings()
    call_pool = CallPool(
        LegacyEndpoint(
            resolved("legacy_url"),
            connect_timeout_s=found.legacy_connect_timeout_s,
            read_timeout_s=found.legacy_read_timeout_s,
            call_timeout_s=found.legacy_call_timeout_s,
        )
    )
    return Run(
        Claims(database(), run_lease_s=found.run_lease_s, record_lease_s=found.record_lease_s),
        call_pool,
        DatabaseWorker(call_pool.wake),
        limiter.from_settings(found),
        RetryPolicy.from_settings(found),
        limit_policy=found.limit_policy,
        settle_interval_s=found.settle_interval_s,
        settle_batch=found.settle_batch,
        rng=random.Random(),  # noqa: S311 - jitter
    )


@cache
def reader() -> ReadSession:
    from chalicelib.postgres.read_session import ReadSession

    return ReadSession(queried_database(), settings().odata_timeout_s)


@cache
def odata() -> Router:
    from chalicelib.odata.pending import PendingRecords
    from chalicelib.odata.router import Router

    def store(records: Sequence[PointRecord]) -> list[tuple[dict[str, Any], bool]]:
        accepted = intake().accept_records(records)
        return [(as_awaiting(each.record), each.created) for each in accepted]

    def find(record_id: str, principal: Principal) -> dict[str, Any] | None:
        record = buffer().get(record_id)
        return as_awaiting(record) if record and principal.owns(record) else None

    return Router(reader(), settings(), PendingRecords(intake().read, store, find))


def find(record_id: str, principal: Principal) -> str | PointRecord:
    """Find one record in whichever store has it; see ``find_record.find``."""
    from chalicelib import find_record
    from chalicelib.odata.plain_record import record_json

    return find_record.find(
        record_id, principal, buffer(), lambda *asked: record_json(reader(), *asked)
    )


def stages() -> dict[str, Any]:
    """Describe each stage; see ``health.stages``."""
    from chalicelib.operations import health

    return health.stages(buffer, point_record_store)


def observe() -> None:
    """Write the depth and age of each stage as metrics; see ``health.observe``."""
    from chalicelib.operations import health

    health.observe(stages())


def perform(
    action: str,
    event: object,
    act: Callable[[Principal], tuple[Any, Mapping[str, object]]],
    *,
    members: Sequence[str] = (),
    redacted: Sequence[str] = (),
) -> Any:
    """Do what an operator asks for; see ``operations.action.perform``."""
    from chalicelib.operations.audited_command import perform

    settings()  # before there is anything to log
    return perform(
        action,
        event,
        lambda token: authenticator().principal(token),
        act,
        members=members,
        redacted=redacted,
    )


def reconcile(since: object = None, until: object = None) -> Reconciliation:
    """Look for all that was accepted in a period; see ``reconciler.period`` and ``reconcile``."""
    from chalicelib.operations import accepted_log, reconciler

    first, end = reconciler.period(since, until, datetime.now(UTC))
    accepted = accepted_log.accepted(settings().accepted_log, first, end, aws.logs)
    return reconciler.reconcile(accepted, buffer(), point_record_store())


def quarantined() -> list[dict[str, Any]]:
    """List the quarantine; see ``PointRecordStore.quarantined``."""
    return point_record_store().quarantined()


def release(quarantine_id: object, record: Mapping[str, Any] | None) -> Release:
    """Send an item of the quarantine on its way; see ``quarantine.release``."""
    from chalicelib.operations import quarantine

    return quarantine.release(
        quarantine_id, record, point_record_store(), clock_skew_s=settings().clock_skew_s
    )


def replay(text: object, by: Principal, remaining_s: Callable[[], float]) -> Replay:
    """Have parked records go again; see ``replay.replay``."""
    from chalicelib.odata.language.parser import Bounds
    from chalicelib.odata.sql.filter import translate_filter
    from chalicelib.operations import replay
    from chalicelib.postgres.dead_letters import DeadLetters

    found = settings()
    bounds = Bounds(found.odata_max_tokens, found.odata_max_depth)
    return replay.replay(
        text,
        by,
        lambda each, principal: translate_filter(each, principal, bounds),
        DeadLetters(database()),
        remaining_s,
    )


def migrate() -> list[str]:
    """Bring the database to the newest schema; see ``postgres.migrate``."""
    from chalicelib.postgres.migrate import migrate

    return migrate(database())
