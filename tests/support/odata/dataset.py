"""Point records and logs with many edge cases, in Python and in Postgres."""

import random
import uuid
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from chalicelib.postgres.connection import Database
from chalicelib.record_id import first_id

DEVICES = [
    None, "device-1", "device-12", "Device-12", "O'Brien's", "100%", "a_b", "back\\slash",
    "Ünïcødé", "straße", " spaced ",
    "\u00a0no-break\u3000", "x😀y", "$1 :name {0}", "'; DROP TABLE point_record;--",
    "42", "-7", "2026-02-03", "true", "1.5", "line\nbreak", "ΣΑΣ", "null",
    "a/b(c)=d&e", "\"quoted\"", "tab\there",
]  # fmt: skip
COORDINATES = [None, 0.0, 0.1, 2.5, -2.5, 0.5, -0.5, 33.25, -46.633308, 89.999999, 1e-7, -90.0]
STATUSES = ["AWAITING", "INTEGRATING", "INTEGRATED", "ERROR", "REJECTED"]
LOG_TEXTS = [
    None,
    "",
    "accepted",
    "HTTP 503: try later",
    "it's 'quoted'",
    "x" * 700,
    "timeout after 10 s",
]
INSTANTS = [
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 2, 3, 4, 5, 6, 789012, UTC),
    datetime(2026, 2, 28, 23, 59, 59, 999999, UTC),
    datetime(2024, 2, 29, 12, 0, 0, 1, UTC),
    datetime(999, 12, 31, 23, 0, tzinfo=UTC),
    datetime(2, 1, 1, tzinfo=UTC),
    datetime(2026, 6, 15, 12, 30, 30, 500000, UTC),
    datetime(2025, 12, 31, 21, 0, 0, tzinfo=UTC),
]


@dataclass(eq=False, repr=False)
class Log:
    """An integration log, with OData's property names."""

    pointId: uuid.UUID  # noqa: N815
    number: int
    attempt: int
    status: str
    log: str | None
    httpStatus: int | None  # noqa: N815
    latencyMs: int | None  # noqa: N815
    createdAt: datetime  # noqa: N815
    point: "Record"

    @property
    def id(self) -> str:
        """The key as it stands in a path. Its order is that of the keys."""
        return f"pointId={self.pointId},number={self.number}"


@dataclass(eq=False, repr=False)
class Record:
    """A point record, with OData's property names."""

    id: uuid.UUID
    employeeId: int  # noqa: N815
    employerId: int  # noqa: N815
    includedAt: datetime  # noqa: N815
    utcOffsetMinutes: int  # noqa: N815
    deviceId: str | None  # noqa: N815
    latitude: float | None
    longitude: float | None
    accuracyMeters: float | None  # noqa: N815
    status: str
    attempts: int
    nextAttemptAt: datetime | None  # noqa: N815
    integratedAt: datetime | None  # noqa: N815
    createdAt: datetime  # noqa: N815
    replicatedAt: datetime  # noqa: N815
    updatedAt: datetime | None  # noqa: N815
    postedBy: None  # noqa: N815
    postedAs: None  # noqa: N815
    logs: list[Log] = field(default_factory=list)
    localDate: date = field(init=False)  # noqa: N815
    localTime: time = field(init=False)  # noqa: N815

    def __post_init__(self) -> None:
        local = self.includedAt + timedelta(minutes=self.utcOffsetMinutes)
        self.localDate, self.localTime = local.date(), local.time()


class DataSet:
    """The records and logs, each list sorted by key."""

    def __init__(self, records: list[Record]) -> None:
        self.records = sorted(records, key=lambda each: each.id)
        self.logs = sorted(
            (log for record in records for log in record.logs), key=lambda each: each.id
        )


def build(count: int = 60, seed: int = 7) -> list[Record]:
    """Generate records; the same seed gives the same records."""
    chance = random.Random(seed)
    records = []
    for number in range(count):
        status = STATUSES[number % len(STATUSES)]
        settled = status in ("INTEGRATED", "REJECTED")
        instant = chance.choice(INSTANTS) + timedelta(minutes=chance.choice([0, 0, 1, 59, 1440]))
        created = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number, microseconds=number)
        record = Record(
            id=uuid.UUID(int=first_id(instant).int | chance.getrandbits(128) % 2**80),
            employeeId=chance.choice([1, 2, 3, 10, 2**31, 2**53 + 1, 2**63 - 1]),
            employerId=chance.choice([1, 1, 2, 3, 2**62]),
            includedAt=instant,
            utcOffsetMinutes=chance.choice([-180, 0, 330, -720]),
            deviceId=DEVICES[number % len(DEVICES)],
            latitude=chance.choice(COORDINATES),
            longitude=chance.choice(COORDINATES),
            accuracyMeters=chance.choice([None, 0.0, 5.0, 12.5, 1e20]),
            status=status,
            attempts=chance.choice([0, 0, 1, 2, 3, 7]),
            nextAttemptAt=None if settled else chance.choice(INSTANTS),
            integratedAt=created if status == "INTEGRATED" else None,
            createdAt=created,
            replicatedAt=created + timedelta(seconds=chance.choice([0, 30])),
            updatedAt=chance.choice([None, created + timedelta(hours=1)]),
            postedBy=None,
            postedAs=None,
        )
        for attempt in range(chance.choice([0, 0, 1, 2, 4])):
            record.logs.append(
                Log(
                    pointId=record.id,
                    number=len(record.logs) + 1,
                    attempt=attempt,
                    status=chance.choice(STATUSES),
                    log=chance.choice(LOG_TEXTS),
                    httpStatus=chance.choice([None, 200, 503, 422]),
                    latencyMs=chance.choice([None, 0, 12, 12000]),
                    createdAt=created + timedelta(seconds=attempt),
                    point=record,
                )
            )
        records.append(record)
    return records


def store(records: list[Record], database: Database) -> None:
    """Insert the records and their logs into an empty database."""
    with database.transaction() as connection:
        for record in records:
            values = {each.name: getattr(record, each.name) for each in fields(record)}
            for generated in ("logs", "localDate", "localTime"):
                values.pop(generated)
            claimed = uuid.uuid4() if record.status == "INTEGRATING" else None
            _insert(connection, "point_record", {**values, "claimedBy": claimed})
            for log in record.logs:
                values = {each.name: getattr(log, each.name) for each in fields(log)}
                values.pop("point")
                values |= {"employerId": record.employerId, "employeeId": record.employeeId}
                _insert(connection, "integration_log", values)


def _insert(connection: Any, table: str, values: dict[str, Any]) -> None:
    columns = ", ".join(_snake(name) for name in values)
    places = ", ".join(f":{name}" for name in values)
    connection.run(f"INSERT INTO {table} ({columns}) VALUES ({places})", **values)


def _snake(name: str) -> str:
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
