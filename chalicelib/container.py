"""Build every store, client and step, once per process, on first use.

``integrator_wiring`` builds the integrator from them, and ``schedules`` and ``operator_commands``
use them. Importing this module reads no environment and opens no connection. It imports at once
what intake needs, because intake must start fast. What only other handlers need is imported by the
function that builds it.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from chalicelib import telemetry
from chalicelib.buffer import Buffer
from chalicelib.dynamodb import client as dynamodb_client
from chalicelib.errors import MisconfiguredError, UnauthenticatedError
from chalicelib.intake import Intake, as_awaiting
from chalicelib.settings import Settings, SettingsError, is_reference

if TYPE_CHECKING:
    from chalicelib.buffered_items import BufferedItems
    from chalicelib.identity.authenticator import Authenticator
    from chalicelib.identity.key_table import KeyTable
    from chalicelib.journal.journal_files import Journal
    from chalicelib.odata.router import Router
    from chalicelib.point_record import PointRecord
    from chalicelib.postgres.access_key_store import AccessKeyStore
    from chalicelib.postgres.connection import Database
    from chalicelib.postgres.point_records import PointRecordStore
    from chalicelib.postgres.read_session import ReadSession
    from chalicelib.principal import Principal
    from chalicelib.replicator.replication import Replicator


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


def read_settings(names: Sequence[str]) -> dict[str, str]:
    """Read the values of settings, and again at each call; return them by their names.

    Settings that refer to members of one secret get them from one version of it.

    Raises:
        MisconfiguredError: a target cannot be read, and a retry would not help.
        UnavailableError: a target cannot be read now.
    """
    texts: dict[str, str | None] = {}
    return {name: _read(name, texts) for name in names}


def environment_proxies() -> list[str]:
    """Return the proxies that libcurl reads from the environment."""
    names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return [os.environ[name] for name in names if name in os.environ]


@cache
def dynamodb() -> Any:
    """Build the client of the DynamoDB tables; see ``dynamodb.client.connect``."""
    return dynamodb_client.connect(os.environ)


@cache
def authenticator() -> Authenticator:
    """Build the authenticator; see ``identity.factory.authenticator``."""
    from chalicelib.identity import factory
    from chalicelib.identity.access_keys import AccessKeys

    table = key_table()
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


def key_table() -> KeyTable | None:
    """Build the table of the issuer's keys; None if the stage has no issuer or no such table."""
    config = settings()
    if not (config.jwks_url and config.jwks_table):
        return None
    from chalicelib.identity.key_table import KeyTable

    return KeyTable(dynamodb(), config.jwks_table, config.jwks_url)


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
def buffered_items() -> BufferedItems:
    from chalicelib.buffered_items import BufferedItems

    return BufferedItems(dynamodb(), settings().point_record_table)


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
    from chalicelib.replicator.replication import Replicator

    config = settings()
    return Replicator(
        buffered_items(),
        point_record_store(),
        segments=config.replication_segments,
        page=config.replication_page,
        deleters=config.replication_deleters,
        margin_s=config.replication_margin_s,
        shares=ReplicationShares(database(), config.replication_lease_s),
        share_size=config.replication_share,
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
    return health.stages(buffered_items, point_record_store, timeout_s, with_flow=with_flow)
