"""Build every store, client and step, once per process, on first use.

This is the only module that wires the others together. Importing it reads no environment and opens
no connection. It imports at once what intake needs, because intake must start fast. What only other
handlers need is imported by the function that builds it.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

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
    MisconfiguredError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.intake import Intake, as_awaiting
from chalicelib.settings import Settings, SettingsError, is_reference

if TYPE_CHECKING:
    from chalicelib.identity.authenticator import Authenticator
    from chalicelib.identity.key_table import KeyTable
    from chalicelib.integrator.legacy.legacy_client import LegacyEndpoint
    from chalicelib.integrator.legacy.response_conditions import ResponseConditions
    from chalicelib.integrator.legacy.shared_credentials import LegacyCredentials
    from chalicelib.integrator.run import Run
    from chalicelib.journal.journal_files import Journal
    from chalicelib.odata.router import Router
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
    return connect_database("database_url")


@cache
def queried_database() -> Database:
    """Return the database that queries read from: by default the one that the steps write to."""
    return connect_database("odata_database_url") if resolved("odata_database_url") else database()


def connect_database(name: str, statement_timeout_s: float | None = None) -> Database:
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
        keep_partitions()
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


def console() -> ModuleType:
    """Return the module that serves the web console: ``console.console_files``."""
    from chalicelib.console import console_files

    return console_files


def keep_partitions() -> None:
    """Make the partitions that are missing; see ``partitions.keep_partitions``."""
    from chalicelib.postgres.partitions import keep_partitions

    made = keep_partitions(database(), datetime.now(UTC), settings().retention_months)
    if made:
        telemetry.event("partitions made", months=made)
