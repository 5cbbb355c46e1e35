"""Read how many of a burst's records the stores and the legacy hold.

While a store is unavailable, the progress is unknown. Only the count at the end decides the result,
so that is not an error.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests

from chalicelib.buffered_items import BufferedItems
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from chalicelib.postgres.point_records import PointRecordStore
from local.stack_file import TABLE, connect_dynamodb

_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of the burst's records in Postgres, and of those delivered and parked."""

    replicated: int = 0
    integrated: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True)
class ReplicatedRecords:
    """The burst's records in Postgres.

    Attributes:
        statuses: status by id.
        logged_twice: ids with more than one log row of AWAITING, or more than one of INTEGRATED.
        replicated_at: Unix time at which the last one was replicated; 0 if there is none.
        integrated_at: Unix time at which the last one was delivered; 0 if there is none.
    """

    statuses: Mapping[str, str]
    logged_twice: AbstractSet[str]
    replicated_at: float
    integrated_at: float

    def with_status(self, status: str) -> set[str]:
        """Return the ids of the records in a status."""
        return {record_id for record_id, each in self.statuses.items() if each == status}


class BurstReader:
    """Reads the records of one employer from the stores and the legacy of a stack."""

    def __init__(self, stack: Mapping[str, Any], employer_id: int) -> None:
        self._database = Database(
            stack["postgres"],
            pool=1,
            connect_timeout_s=_TIMEOUT_S,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
        )
        self._buffer = BufferedItems(connect_dynamodb(stack), TABLE)
        self._legacy: str | None = stack["legacy"] if "legacy" in stack["pids"] else None
        self._employer_id = employer_id

    def close(self) -> None:
        """Close the connection to Postgres."""
        self._database.close()

    def progress(self) -> Progress | None:
        """Count the records; return None while Postgres is unavailable."""
        try:
            with self._database.transaction() as connection:
                rows = connection.run(
                    """
                    SELECT count(*),
                           count(*) FILTER (WHERE status = 'INTEGRATED'),
                           count(*) FILTER (WHERE status = 'REJECTED')
                    FROM point_record
                    WHERE employer_id = CAST(:employer AS bigint)
                    """,
                    employer=self._employer_id,
                )
        except UnavailableError:
            return None
        return Progress(*rows[0])

    def replicated(self) -> ReplicatedRecords:
        """Read the records' statuses, times and duplicated log rows, for the count at the end.

        Raises:
            UnavailableError: Postgres is unavailable.
        """
        with self._database.transaction() as connection:
            (statuses, replicated_at, integrated_at), *_ = connection.run(
                """
                SELECT CAST(coalesce(json_object_agg(id, status), '{}') AS text),
                       CAST(coalesce(extract(epoch FROM max(replicated_at)), 0) AS float8),
                       CAST(coalesce(extract(epoch FROM max(integrated_at)), 0) AS float8)
                FROM point_record
                WHERE employer_id = CAST(:employer AS bigint)
                """,
                employer=self._employer_id,
            )
            duplicates = connection.run(
                """
                SELECT CAST(point_id AS text)
                FROM integration_log
                JOIN point_record ON point_record.id = point_id
                WHERE point_record.employer_id = CAST(:employer AS bigint)
                  AND integration_log.status IN ('AWAITING', 'INTEGRATED')
                GROUP BY point_id, integration_log.status
                HAVING count(*) > 1
                """,
                employer=self._employer_id,
            )
        logged_twice = {record_id for (record_id,) in duplicates}
        return ReplicatedRecords(json.loads(statuses), logged_twice, replicated_at, integrated_at)

    def missing(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that no store has: neither buffered, replicated nor quarantined.

        Raises:
            UnavailableError: a store is unavailable.
        """
        # The buffer comes first, because a record leaves it only once it is in Postgres.
        unbuffered = set(ids) - self._buffer.existing_ids(ids)
        locations = PointRecordStore(self._database).locate(unbuffered)
        return unbuffered - locations.records - locations.quarantined

    def legacy_accepted(self) -> int | None:
        """Return how many records of all employers the legacy has accepted; None without a report.

        A legacy other than the simulated one has no report, and is not asked for it.
        """
        if self._legacy is None:
            return None
        try:
            response = requests.get(urljoin(self._legacy, "/report"), timeout=_TIMEOUT_S)
            return int(response.json()["accepted"])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return None

    def legacy_deliveries(self) -> Counter[str] | None:
        """Count how often the legacy accepted each id; None without a report."""
        if self._legacy is None:
            return None
        try:
            response = requests.get(urljoin(self._legacy, "/report/keys"), timeout=_TIMEOUT_S)
            response.raise_for_status()
        except requests.RequestException:
            return None
        return Counter(response.text.split())
