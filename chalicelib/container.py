"""Build every store, client and step, once per process, on first use.

This is the only module that wires the others together. Importing it reads no environment and opens
no connection. It imports at once what intake needs, because intake must start fast. What only other
handlers need is imported by the function that builds it.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from chalicelib import telemetry
from chalicelib.buffer import Buffer
from chalicelib.dynamodb import client as dynamodb_client
from chalicelib.errors import (
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.intake import Intake, as_awaiting
from chalicelib.settings import Settings, SettingsError, is_reference

if TYPE_CHECKING:
    from chalicelib.identity.authenticator import Authenticator
    from chalicelib.identity.key_table import KeyTable
    from chalicelib.integrator.legacy.legacy_check import Check
    from chalicelib.integrator.legacy.legacy_client import LegacyEndpoint
    from chalicelib.integrator.legacy.response_conditions import ResponseConditions
    from chalicelib.integrator.legacy.shared_credentials import LegacyCredentials
    from chalicelib.integrator.run import Run
    from chalicelib.journal.journal_files import Journal
    from chalicelib.odata.router import Router
    from chalicelib.operations.erase import Erased
    from chalicelib.operations.personal_data import PersonalData
    from chalicelib.operations.quarantine import Release
    from chalicelib.operations.reconciler import Reconciliation
    from chalicelib.operations.replay import Replay
    from chalicelib.operations.restore import Restored
    from chalicelib.point_record import PointRecord
    from chalicelib.postgres.access_key_store import AccessKeyStore
    from chalicelib.postgres.connection import Database
    from chalicelib.postgres.point_records import PointRecordStore
    from chalicelib.postgres.read_session import ReadSession
    from chalicelib.principal import Principal
    from chalicelib.replicator import Replicator


@cache
def settings() -> Settings:
    """Read the settings from the environment, and configure the log by them.

    Raises:
        MisconfiguredError: a setting is invalid. The cause names every invalid setting.
    """
    try:
        config = Settings.from_env(os.environ)
    except SettingsError as error:
        telemetry.configure(Settings().log_level)  # so that the cause is logged
        raise MisconfiguredError(
            "A setting of this stage is invalid. The log of the service names it."
        ) from error
    telemetry.configure(config.log_level, config.metrics_namespace)
    return config


@cache
def resolved(name: str) -> str:
    """Return the value of a setting. If the setting is a reference, read its target first.

    Raises:
        MisconfiguredError: the target cannot be read, and a retry would not help.
        UnavailableError: the target cannot be read now.
    """
    return _read(name, {})


def _read(name: str, texts: dict[str, str | None]) -> str:
    """Read the value of a setting; see ``resolved``, and ``secret_references.read`` for ``texts``.

    Raises:
        MisconfiguredError: the target cannot be read, and a retry would not help.
        UnavailableError: the target cannot be read now.
    """
    value: str = getattr(settings(), name)
    if not is_reference(value):
        return value
    from chalicelib import aws, secret_references

    try:
        return secret_references.read(name.upper(), value, aws.secrets, texts)
    except secret_references.MissingFileError as error:
        hint = (
            " On a single machine, start the stack first: run `make run` in another terminal."
            if name in ("database_url", "jwt_key")
            else ""
        )
        raise MisconfiguredError(
            f"{name.upper()} refers to a file that does not exist.{hint}"
        ) from error
    except SettingsError as error:
        raise MisconfiguredError(
            f"{name.upper()} refers to a secret or file that cannot be read."
        ) from error


@cache
def dynamodb() -> Any:
    """Build the client of the DynamoDB tables; see ``dynamodb.client.connect``."""
    return dynamodb_client.connect(os.environ)


@cache
def authenticator() -> Authenticator:
    """Build the authenticator; see ``identity.factory.authenticator``."""
    from chalicelib.identity import factory
    from chalicelib.identity.access_keys import AccessKeys

    table = _key_table()
    return factory.authenticator(
        settings(),
        resolved("jwt_key"),
        table.read if table else None,
        AccessKeys(lambda digest: access_key_store().find(digest)),
    )


@cache
def access_key_store() -> AccessKeyStore:
    """Return the access keys, as a query finds them; intake never does."""
    from chalicelib.postgres.access_key_store import AccessKeyStore

    return AccessKeyStore(queried_database(), settings().lookup_timeout_s)


def manage_access_keys(
    command: Mapping[str, Any], operator: Principal
) -> tuple[Any, dict[str, Any]]:
    """Make, list or revoke access keys; see ``manage_access_keys.manage``."""
    from chalicelib.operations.manage_access_keys import manage
    from chalicelib.postgres.access_key_store import AccessKeyStore

    store = AccessKeyStore(database(), settings().statement_timeout_s)
    return manage(command, operator.subject, store, datetime.now(UTC))


def _key_table() -> KeyTable | None:
    """Build the table of the issuer's keys; None if the stage has no issuer or no such table."""
    config = settings()
    if not (config.jwks_url and config.jwks_table):
        return None
    from chalicelib.identity.key_table import KeyTable

    return KeyTable(dynamodb(), config.jwks_table, config.jwks_url)


def store_keys() -> None:
    """Copy the issuer's keys to their table, if the stage has both; see ``key_copy.copy_keys``."""
    table = _key_table()
    if table is not None:
        from chalicelib.identity import factory, key_copy

        key_copy.copy_keys(factory.issuer(settings()), table, time.time)


def authenticate(authorizations: Sequence[str], path: str) -> Principal:
    """Return the principal of a request to a route; see ``Authenticator.authenticate``.

    Raises:
        UnauthenticatedError: it has no valid credentials. The error says where to get a token.
    """
    try:
        reads_odata = path == "/odata" or path.startswith("/odata/")
        return authenticator().authenticate(authorizations, reads_odata=reads_odata)
    except UnauthenticatedError as error:
        error.authorization_uri = settings().jwt_authorization_uri
        raise


@cache
def buffer() -> Buffer:
    return Buffer(dynamodb(), settings().point_record_table)


@cache
def intake() -> Intake:
    config = settings()
    return Intake(
        buffer(),
        lambda: datetime.now(UTC),
        clock_skew_s=config.clock_skew_s,
        retention_months=config.retention_months,
        max_body_bytes=config.max_body_bytes,
        max_batch=config.max_batch,
        threads=config.intake_threads,
    )


@cache
def database() -> Database:
    return _database("database_url")


@cache
def queried_database() -> Database:
    """Return the database that queries read from: by default the one that the steps write to."""
    return _database("odata_database_url") if resolved("odata_database_url") else database()


def _database(name: str, statement_timeout_s: float | None = None) -> Database:
    """Build a pool of connections to the database whose URL is the setting ``name``."""
    from chalicelib.postgres.connection import Database

    config = settings()
    return Database(
        resolved(name),
        pool=config.database_pool,
        connect_timeout_s=config.database_connect_timeout_s,
        statement_timeout_s=statement_timeout_s or config.statement_timeout_s,
        idle_timeout_s=config.database_idle_timeout_s,
        setting=name.upper(),
        reread=(lambda: _read(name, {})) if is_reference(getattr(config, name)) else None,
    )


@cache
def point_record_store() -> PointRecordStore:
    from chalicelib.postgres.point_records import PointRecordStore

    return PointRecordStore(database())


@cache
def replicator() -> Replicator:
    from chalicelib.postgres.replication_shares import ReplicationShares
    from chalicelib.replicator import Replicator

    config = settings()
    return Replicator(
        buffer(),
        point_record_store(),
        segments=config.replication_segments,
        page=config.replication_page,
        deleters=config.replication_deleters,
        margin_s=config.replication_margin_s,
        shares=ReplicationShares(database(), config.replication_lease_s),
        share=config.replication_share,
        journal=journal(),
        journal_timeout_s=config.journal_timeout_s,
    )


@cache
def journal() -> Journal | None:
    """Open the journal; None if the stage has none."""
    config = settings()
    if not config.journal:
        return None
    from chalicelib import aws
    from chalicelib.journal import journal_files

    return journal_files.connect(config.journal, lambda: aws.s3(config.journal_timeout_s))


def journal_deliveries(remaining_s: Callable[[], float]) -> None:
    """Write new deliveries to the journal; see ``journal_deliveries.journal_deliveries``."""
    opened = journal()
    if opened is not None:
        from chalicelib.operations import journal_deliveries
        from chalicelib.postgres.delivery_outbox import DeliveryOutbox

        journal_deliveries.journal_deliveries(
            DeliveryOutbox(database()), opened, remaining_s, settings().journal_timeout_s
        )


def restore(since: object, cursor: object, remaining_s: Callable[[], float]) -> Restored:
    """Put back what Postgres has lost; see ``restore.restore``.

    Raises:
        InvalidError: the stage has no journal, or the period is invalid.
    """
    from chalicelib.operations import restore
    from chalicelib.postgres.partitions import Month
    from chalicelib.postgres.personal_records import PersonalRecords
    from chalicelib.postgres.restoration import Restoration

    opened = journal()
    if opened is None:
        raise InvalidError("This stage has no journal to restore from: JOURNAL is not set.")
    return restore.restore(
        since,
        cursor,
        opened,
        point_record_store(),
        PersonalRecords(database()),
        Restoration(database(), pause_s=_RESTORE_PAUSE_S),
        remaining_s,
        datetime.now(UTC),
        Month(datetime.now(UTC), -settings().retention_months).first,
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
        journal(),
        buffer(),
        PersonalRecords(database()),
        remaining_s,
        with_punches=punches is True,
        # A page waits for the journal so long; the call that it then abandons may take as long.
        grace_s=3 * settings().journal_timeout_s,
    )


def export(employer: object, employee: object, form: object, cursor: object) -> PersonalData:
    """Return one page of a person's data; see ``personal_data.export``."""
    from chalicelib.operations import personal_data
    from chalicelib.operations.person import read_person
    from chalicelib.postgres.personal_records import PersonalRecords

    return personal_data.export(
        read_person(employer, employee), form, cursor, buffer(), PersonalRecords(database())
    )


# Longer than an invocation, so that the integrator stands still until a restore is continued.
_RESTORE_PAUSE_S = 3_600.0


def legacy_endpoint() -> LegacyEndpoint:
    """Build what the integrator must know of the legacy, and try it with a sample record.

    Raises:
        MisconfiguredError: a setting is invalid. The message names it, the place and the reason.
    """
    from chalicelib.integrator.legacy import request_format
    from chalicelib.integrator.legacy.legacy_client import LegacyEndpoint

    config = settings()
    try:
        return LegacyEndpoint(
            resolved("legacy_url"),
            connect_timeout_s=config.legacy_connect_timeout_s,
            read_timeout_s=config.legacy_read_timeout_s,
            call_timeout_s=config.legacy_call_timeout_s,
            keep_alive_s=config.legacy_keep_alive_s,
            request=request_format.read(config, resolved),
            conditions=_response_conditions(),
            credentials=legacy_credentials(),
        )
    except SettingsError as error:
        raise MisconfiguredError(str(error)) from error


def _response_conditions() -> ResponseConditions | None:
    """Read the conditions on responses; without any, JMESPath is not imported.

    Raises:
        SettingsError: a condition is invalid.
    """
    config = settings()
    if not (
        config.legacy_delivered
        or config.legacy_duplicate
        or config.legacy_retry
        or config.legacy_refused
    ):
        return None
    from chalicelib.integrator.legacy import response_conditions

    return response_conditions.read(resolved)


@cache
def legacy_credentials() -> LegacyCredentials | None:
    """Build the credentials of the calls to the legacy; None if it asks for none.

    Raises:
        MisconfiguredError: a reference cannot be read, and a retry would not help.
        SettingsError: a credential is invalid.
        UnavailableError: a reference cannot be read now.
    """
    config = settings()
    proxies = [os.environ[name] for name in _PROXY_VARIABLES if name in os.environ]
    if not (config.legacy_credentials or any("@" in each for each in proxies)):
        return None
    from chalicelib.integrator.legacy.shared_credentials import LegacyCredentials

    def read(names: Sequence[str]) -> dict[str, str]:
        texts: dict[str, str | None] = {}
        return {name: _read(name, texts) for name in names}

    return LegacyCredentials(config, read, environment_proxies=proxies)


# The variables that libcurl reads.
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def integrator_run() -> Run:
    """Build a run of the integrator. Unlike everything else here, each run is a new object."""
    from chalicelib.integrator import limiter
    from chalicelib.integrator.call_pool import CallPool
    from chalicelib.integrator.database_worker import DatabaseWorker
    from chalicelib.integrator.retry_policy import RetryPolicy
    from chalicelib.integrator.run import Run
    from chalicelib.postgres.claims import Claims

    config = settings()
    endpoint = legacy_endpoint()
    if endpoint.credentials:
        endpoint.credentials.prepare()  # a token comes while the run claims its first records
    call_pool = CallPool(endpoint)
    return Run(
        Claims(
            database(),
            run_lease_s=config.run_lease_s,
            record_lease_s=config.record_lease_s,
            is_journaled=bool(config.journal),
        ),
        call_pool,
        DatabaseWorker(call_pool.wake),
        limiter.from_settings(config),
        RetryPolicy.from_settings(config),
        limit_policy=config.limit_policy,
        settle_interval_s=config.settle_interval_s,
        settle_batch=config.settle_batch,
        rng=random.Random(),  # noqa: S311 - jitter
    )


@cache
def read_session() -> ReadSession:
    """Build the reader of queries, which has a timeout of its own."""
    from chalicelib.postgres.read_session import ReadSession

    return ReadSession(queried_database(), settings().odata_timeout_s)


@cache
def lookup_session() -> ReadSession:
    """Build the reader of single records, whose statements end when nobody waits any more."""
    from chalicelib.postgres.read_session import ReadSession

    return ReadSession(queried_database(), settings().lookup_timeout_s)


@cache
def odata() -> Router:
    from chalicelib.odata.pending import PendingRecords, evidence_annotation
    from chalicelib.odata.router import Router

    def store(records: Sequence[PointRecord]) -> list[tuple[dict[str, Any], bool]]:
        accepted = intake().accept_records(records)
        return [
            (as_awaiting(each.record) | evidence_annotation(each.evidence), each.created)
            for each in accepted
        ]

    def find(record_id: str, principal: Principal) -> dict[str, Any] | None:
        record = buffer().get(record_id)
        return as_awaiting(record) if record and principal.owns(record) else None

    return Router(read_session(), settings(), PendingRecords(intake().read, store, find))


def find(record_id: str, principal: Principal) -> str | PointRecord:
    """Find one record, in the buffer or in Postgres; see ``find_record.find``."""
    from chalicelib import find_record
    from chalicelib.odata.plain_record import record_json

    return find_record.find(
        record_id,
        principal,
        buffer(),
        lambda *query: record_json(lookup_session(), *query),
        settings().lookup_timeout_s,
    )


def replicate(remaining_s: Callable[[], float], *, helps: bool) -> None:
    """Move the buffered records to Postgres, and then make the partitions that are missing.

    Args:
        remaining_s: returns how many seconds are left.
        helps: see ``Replicator.run``.
    """
    replicator().run(remaining_s, helps=helps)
    if helps:
        return
    try:
        _keep_partitions()
    except UnavailableError as error:  # an alarm rings if records stay without partitions
        telemetry.error("the partitions were not made", error)


@cache
def openapi() -> str:
    """Return the OpenAPI document of the stage; see ``openapi.document``."""
    import json

    from chalicelib.openapi.document import document

    return json.dumps(document(settings()), ensure_ascii=False, separators=(",", ":"))


def stages(*, with_flow: bool = False) -> dict[str, Any]:
    """Return the depth and age of each stage; see ``health.stages``."""
    from chalicelib.operations import health

    timeout_s = settings().health_timeout_s
    return health.stages(buffer, point_record_store, timeout_s, with_flow=with_flow)


def observe() -> None:
    """Log the depth and age of each stage as metrics; see ``health.observe``."""
    from chalicelib.operations import health

    health.observe(stages())
    if settings().canary_employer:
        _send_canary()


def _send_canary() -> None:
    """Measure the canary, and send the next one when it is due; see ``canary.run``."""
    from chalicelib.bounded_call import begin
    from chalicelib.operations import canary
    from chalicelib.postgres import canary_records
    from chalicelib.principal import Principal, Role

    config = settings()
    sender = Principal(Role.EMPLOYEE, config.canary_employer, config.canary_employee, "canary")

    def run() -> None:
        canary.run(
            canary.Canary(config.canary_employer, config.canary_employee, config.canary_interval_s),
            datetime.now(UTC),
            buffer(),
            lambda employer_id, employee_id: canary_records.recent(
                database(), employer_id, employee_id, config.health_timeout_s
            ),
            lambda body: intake().read(body, sender),
        )

    try:
        begin(run, "The way of the canary")(config.health_timeout_s)
    except UnavailableError as error:  # the metric is missing then, and an alarm rings
        telemetry.error("the canary was not measured", error)


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

    settings()  # configures the log
    return perform(
        action,
        event,
        lambda token: authenticator().authenticate_token(token),
        act,
        members=members,
        redacted=redacted,
    )


def end_retention() -> None:
    """Drop the months and the statistics that are too old; see ``retention.end_retention``."""
    from chalicelib.postgres.retention import end_retention

    config = settings()
    ended = end_retention(
        database(),
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
    accepted = accepted_log.accepted(settings().accepted_log, first, end, aws.logs)
    return reconciler.reconcile(accepted, buffer(), point_record_store(), message)


def quarantined() -> list[dict[str, Any]]:
    """List the quarantine; see ``PointRecordStore.quarantined``."""
    return point_record_store().quarantined()


def release(quarantine_id: object, record: Mapping[str, Any] | None) -> Release:
    """Return a quarantined item to the pipeline; see ``quarantine.release``."""
    from chalicelib.operations import quarantine

    return quarantine.release(
        quarantine_id, record, point_record_store(), clock_skew_s=settings().clock_skew_s
    )


def replay(text: object, by: Principal, remaining_s: Callable[[], float]) -> Replay:
    """Return parked records to the queue; see ``replay.replay``."""
    return _replay(text, by, database(), remaining_s)


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

    config = settings()
    bounds = Bounds(config.odata_max_tokens, config.odata_max_depth)
    return replay.replay(
        text,
        by,
        lambda text, principal: translate_filter(text, principal, bounds),
        DeadLetters(database),
        remaining_s,
        **options,
    )


# A request of an operator returns after some 8 s of work and one more statement, which is before
# the timeouts of API Gateway and of the function, 29 s. A transaction may take four statements.
_REQUEST_S = 8.0
_REQUEST_STATEMENT_TIMEOUT_S = 4.0
_REQUEST_BATCH = 2_000


@cache
def _request_database() -> Database:
    """Return the database of operators' requests, whose statements end in time for a response."""
    return _database("database_url", _REQUEST_STATEMENT_TIMEOUT_S)


def console() -> ModuleType:
    """Return the module that serves the web console: ``console.console_files``."""
    from chalicelib.console import console_files

    return console_files


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

    config = settings()
    if config.operator_routes == "off":
        raise NotFoundError(
            "This stage has no routes for operators (OPERATOR_ROUTES=off). Invoke its functions:"
            " docs/operations.md."
        )
    until = time.monotonic() + _REQUEST_S

    def store() -> PointRecordStore:  # built only once the operator is known to be one
        return PointRecordStore(_request_database())

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
            buffer(),
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
                _request_database(),
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
        legacy_endpoint(),
        settings().max_attempts,
        punch=event.get("record"),
        response=event.get("response"),
        send=event.get("send", False),
    )


def migrate() -> list[str]:
    """Apply every new migration to the database; see ``postgres.migrate``."""
    from chalicelib.postgres.migrate import migrate

    applied = migrate(database())
    _keep_partitions()
    return applied


def _keep_partitions() -> None:
    """Make the partitions that are missing; see ``partitions.keep_partitions``."""
    from chalicelib.postgres.partitions import keep_partitions

    made = keep_partitions(database(), datetime.now(UTC), settings().retention_months)
    if made:
        telemetry.event("partitions made", months=made)
