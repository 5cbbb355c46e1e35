"""Partitions by month: made ahead, or when a record of another month has come."""

import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError

from chalicelib.errors import UnavailableError
from chalicelib.point_record import parse, to_json
from chalicelib.postgres import locks, partitions
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document
from chalicelib.postgres.migrate import MIGRATIONS, migrate
from chalicelib.postgres.partitions import Month, keep_partitions
from chalicelib.postgres.point_records import PointRecordStore
from local.postgres import Postgres
from tests.conftest import connect, run_statement

NOW = datetime(2031, 11, 28, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BORDERS = [
    datetime(2030, 12, 1, tzinfo=UTC),
    datetime(2030, 12, 1, tzinfo=UTC) - MICROSECOND,
    datetime(2031, 1, 1, tzinfo=UTC) - MICROSECOND,
    datetime(2031, 1, 1, tzinfo=UTC),
]


def add(database: Database, *instants: datetime) -> None:
    """Add a record of another employee for each instant."""
    documents = []
    for number, instant in enumerate(instants):
        body = {"employeeId": number + 1, "employerId": 7, "includedAt": instant.isoformat()}
        record = parse(body, NOW, 60)
        documents.append(Document(str(record.id), json.dumps(to_json(record))))
    PointRecordStore(database).add(documents)


def places(database: Database) -> dict[str, int]:
    """Return the number of rows of each partition that has any."""
    with database.transaction() as connection:
        rows = connection.run(
            "SELECT CAST(CAST(tableoid AS regclass) AS text) FROM point_record"
            " UNION ALL SELECT CAST(CAST(tableoid AS regclass) AS text) FROM integration_log"
        )
    return Counter(name for (name,) in rows)


def test_this_month_and_the_next_ones_have_partitions(database: Database) -> None:
    assert keep_partitions(database, NOW, 62) == ["2031_11", "2031_12", "2032_01"]
    assert keep_partitions(database, NOW, 62) == []
    add(database, NOW)
    assert places(database) == {"point_record_2031_11": 1, "integration_log_2031_11": 1}


def test_records_of_months_without_partitions_are_moved_with_their_logs(
    database: Database,
) -> None:
    add(database, *BORDERS, datetime(2020, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC))
    assert places(database) == {"point_record_default": 6, "integration_log_default": 6}
    assert PointRecordStore(database).stages(100)["unpartitioned"] == 6
    made = keep_partitions(database, NOW, 62)
    assert made[3:] == ["2030_11", "2030_12", "2031_01"]
    assert places(database) == {
        "point_record_default": 2,  # older than the retention
        "integration_log_default": 2,
        **{f"point_record_{month}": 1 for month in ("2030_11", "2031_01")},
        **{f"integration_log_{month}": 1 for month in ("2030_11", "2031_01")},
        "point_record_2030_12": 2,
        "integration_log_2030_12": 2,
    }
    # A repeated punch is known in its new place.
    add(database, *BORDERS)
    assert sum(places(database).values()) == 12


def test_maker_that_dies_changes_nothing(database: Database) -> None:
    add(database, *BORDERS)
    before = places(database)

    with pytest.raises(UnavailableError):
        make_and_die(database, Month(BORDERS[0]))
    assert places(database) == before


def make_and_die(database: Database, month: Month) -> None:
    """Make the partitions of a month; the session ends before the commit."""
    with database.transaction() as connection:
        assert partitions._make(connection, month)
        connection.run("SELECT pg_terminate_backend(pg_backend_pid())")


def test_makers_at_once_make_each_month_once(database: Database) -> None:
    add(database, *BORDERS)
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: keep_partitions(database, NOW, 62), range(3)))
    assert sorted(each for months in made for each in months) == sorted(
        ["2030_11", "2030_12", "2031_01", "2031_11", "2031_12", "2032_01"]
    )
    assert sum(places(database).values()) == 8


def test_maker_waits_for_a_long_query_only_so_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_PAUSE_S", 60)
    with database.transaction() as query:
        query.run("SELECT count(*) FROM point_record")
        with pytest.raises(UnavailableError):
            keep_partitions(database, NOW, 62)
    assert keep_partitions(database, NOW, 62)


def test_only_the_partitioned_tables_are_analyzed_and_no_partition(database: Database) -> None:
    add(database, *BORDERS)
    assert keep_partitions(database, NOW, 62)
    with database.transaction() as connection:
        rows = connection.run(
            "SELECT relname FROM pg_stat_all_tables WHERE last_analyze IS NOT NULL"
            " AND relname ~ '^(point_record|integration_log)'"
        )
    assert {name for (name,) in rows} == {"point_record", "integration_log"}


def test_log_row_needs_its_record(database: Database) -> None:
    keep_partitions(database, NOW, 62)
    with pytest.raises(DatabaseError) as refused, database.transaction() as connection:
        connection.run(
            "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt,"
            " status) VALUES (CAST(:id AS uuid), 1, 1, 1, 0, 'AWAITING')",
            id=Month(NOW).first,
        )
    assert "integration_log_2031_11_point_fkey" in str(refused.value)


def test_record_whose_id_is_not_of_its_instant_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseError) as refused, database.transaction() as connection:
        connection.run(
            "INSERT INTO point_record (id, employee_id, employer_id, included_at,"
            " utc_offset_minutes, created_at)"
            " VALUES (CAST(:id AS uuid), 1, 1, CAST(:at AS timestamptz), 0, now())",
            id=Month(NOW).first,
            at=NOW,
        )
    assert "point_record_id_check" in str(refused.value)


@pytest.fixture
def earlier(postgres_server: Postgres, tmp_path: Path) -> Any:
    """A database with the schema of the release before, and the files of that release."""
    for path in MIGRATIONS.glob("000[1-7]_*.sql"):
        shutil.copy(path, tmp_path)
    run_statement(postgres_server, "CREATE DATABASE earlier")
    database = connect(postgres_server.url("earlier"))
    migrate(database, tmp_path)
    yield database
    database.close()
    run_statement(postgres_server, "DROP DATABASE earlier WITH (FORCE)")


def test_migration_refuses_records_of_an_earlier_release_and_leaves_them(earlier: Database) -> None:
    with earlier.transaction() as connection:
        connection.run(
            "INSERT INTO point_record (id, employee_id, employer_id, included_at,"
            " utc_offset_minutes, created_at) VALUES (gen_random_uuid(), 1, 1, now(), 0, now())"
        )
    with pytest.raises(DatabaseError, match="Migrate an empty database"):
        migrate(earlier)
    with earlier.transaction() as connection:
        assert connection.run("SELECT count(*) FROM point_record") == [[1]]
        connection.run("DELETE FROM point_record")
    assert "0008_partitions" in migrate(earlier)
