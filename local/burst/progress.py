"""What the stores and the legacy hold of a burst's records.

Reads only. A store that cannot be asked for a while is no fault of the burst: what counts is how it
ends, so that progress is simply unknown meanwhile.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests

from chalicelib.buffer import Buffer
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from chalicelib.postgres.point_records import PointRecordStore
from local.stack_file import TABLE, connect_dynamodb

_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the burst's records are in Postgres, and how many of them are settled there."""

    replicated: int = 0
    integrated: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True)
class InReplica:
    """The burst's records in Postgres.

    Attributes:
        statuses: status by id.
        logged_twice: ids with more than one log row of AWAITING, or more than one of INTEGRATED.
        replicated_at: Unix time at which the last came to Postgres; 0 if none did.
        integrated_at: Unix time at which the last was delivered; 0 if none was.
    """

    statuses: Mapping[str, str]
    logged_twice: AbstractSet[str]
    replicated_at: float
    integrated_at: float

    def with_status(self, status: str) -> set[str]:
        """Return the ids of those that stand there."""
        return {record_id for record_id, found in self.statuses.items() if found == status}


class Follower:
    """Asks the stores and the legacy of a stack about the records of one employer."""

    def __init__(self, stack: Mapping[str, Any], employer_id: int) -> None:
        self._database = Database(
            stack["postgres"],
            pool=1,
            connect_timeout_s=_TIMEOUT_S,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
        )
        self._buffer = Buffer(connect_dynamodb(stack), TABLE)
        self._legacy = stack["legacy"]
        self._employer_id = employer_id

    def close(self) -> None:
        """Close the connection to Postgres."""
        self._database.close()

    def progress(self) -> Progress | None:
        """Count the records; None if Postgres cannot be asked now."""
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

    def in_replica(self) -> InReplica:
        """Read all that the count at the end needs.

        Raises:
            UnavailableError: Postgres cannot be asked now.
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
            twice = connection.run(
                """
                SELECT CAST(point_id AS text)
                FROM integration_log
                JOIN point_record ON point_record.id = point_id
                WHERE employer_id = CAST(:employer AS bigint)
                  AND integration_log.status IN ('AWAITING', 'INTEGRATED')
                GROUP BY point_id, integration_log.status
                HAVING count(*) > 1
                """,
                employer=self._employer_id,
            )
        logged_twice = {record_id for (record_id,) in twice}
        return InReplica(json.loads(statuses), logged_twice, replicated_at, integrated_at)

    def nowhere(self, ids: Collection[str]) -> set[str]:
        """Return which of the ids are in no store: neither waiting, nor replicated, nor poison.

        Raises:
            UnavailableError: a store cannot be asked now.
        """
        # The buffer first: a record leaves it only once it is in Postgres.
        left = set(ids) - self._buffer.existing_ids(ids)
        found = PointRecordStore(self._database).locate(left)
        return left - found.records - found.quarantined

    def legacy_accepted(self) -> int | None:
        """Return how many records of anybody the legacy has accepted; None if it does not tell."""
        try:
            answer = requests.get(urljoin(self._legacy, "/report"), timeout=_TIMEOUT_S)
            return int(answer.json()["accepted"])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return None

    def at_legacy(self) -> Counter[str] | None:
        """Count how often the legacy accepted each id; None if it does not tell."""
        try:
            answer = requests.get(urljoin(self._legacy, "/report/keys"), timeout=_TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException:
            return None
        return Counter(answer.text.split())
