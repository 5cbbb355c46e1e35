"""What the service shows: entity types, their properties and navigations, and where each is stored.

A new property is one line here; ``$metadata``, expressions and responses follow from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chalicelib.odata.edm import Edm
from chalicelib.point_record import FIELDS

NAMESPACE = "PunchClock"
CONTAINER = "Service"


@dataclass(frozen=True, eq=False)
class Property:
    """A property and the column that holds it."""

    name: str
    column: str
    type: Edm
    nullable: bool = False
    max_length: int | None = None
    may_be_nan: bool = False


@dataclass(frozen=True, eq=False)
class Navigation:
    """A way from an entity to others: those whose ``target_column`` equals its ``column``."""

    name: str
    target_type: str
    column: str
    target_column: str
    collection: bool
    partner: str

    @property
    def target(self) -> "EntityType":
        return _TYPES[self.target_type]

    @property
    def back(self) -> "Navigation":
        """The way back from those entities."""
        return next(each for each in self.target.navigations if each.name == self.partner)


@dataclass(frozen=True, eq=False)
class EntityType:
    """A type of entities, all of which are in one entity set and one table.

    The key is the first property. ``orders`` are pairs of properties: for one value of the first,
    an index sorts by the second. ``insertable`` are the properties that a client may give to a new
    entity, if it may create one; the service computes the others. ``searched`` is the path to the
    text that ``$search`` looks into. ``owned`` is what follows FROM for a principal that may see
    its own alone: ``{own}`` is true of such records ``p``. What has none is shown to nobody else.
    """

    name: str
    entity_set: str
    table: str
    properties: tuple[Property, ...]
    navigations: tuple[Navigation, ...] = ()
    orders: tuple[tuple[str, str], ...] = ()
    owned: str = ""
    insertable: frozenset[str] = frozenset()
    searched: str | None = None

    @property
    def qualified_name(self) -> str:
        return f"{NAMESPACE}.{self.name}"

    @property
    def key(self) -> Property:
        return self.properties[0]

    def structural(self, name: str) -> Property:
        """Return the property of a name that is known to be one."""
        return next(each for each in self.properties if each.name == name)

    @cached_property
    def by_name(self) -> Mapping[str, Property | Navigation]:
        members: tuple[Property | Navigation, ...] = (*self.properties, *self.navigations)
        return {each.name: each for each in members}


POINT_RECORD = EntityType(
    "PointRecord",
    "PointRecords",
    "point_record",
    (
        Property("id", "id", Edm.GUID),
        Property("employeeId", "employee_id", Edm.INT64),
        Property("employerId", "employer_id", Edm.INT64),
        Property("includedAt", "included_at", Edm.DATE_TIME_OFFSET),
        Property("utcOffsetMinutes", "utc_offset_minutes", Edm.INT16),
        Property("deviceId", "device_id", Edm.STRING, nullable=True, max_length=100),
        Property("latitude", "latitude", Edm.DOUBLE, nullable=True),
        Property("longitude", "longitude", Edm.DOUBLE, nullable=True),
        Property("accuracyMeters", "accuracy_meters", Edm.DOUBLE, nullable=True),
        Property("status", "status", Edm.STRING, max_length=11),
        Property("attempts", "attempts", Edm.INT32),
        Property("nextAttemptAt", "next_attempt_at", Edm.DATE_TIME_OFFSET, nullable=True),
        Property("integratedAt", "integrated_at", Edm.DATE_TIME_OFFSET, nullable=True),
        Property("createdAt", "created_at", Edm.DATE_TIME_OFFSET),
        Property("replicatedAt", "replicated_at", Edm.DATE_TIME_OFFSET, nullable=True),
        Property("updatedAt", "updated_at", Edm.DATE_TIME_OFFSET, nullable=True),
    ),
    (Navigation("logs", "IntegrationLog", "id", "point_id", collection=True, partner="point"),),
    orders=(("employeeId", "includedAt"), ("employerId", "includedAt")),
    owned="point_record AS p WHERE {own}",
    insertable=frozenset(FIELDS),
    searched="logs/log",
)

INTEGRATION_LOG = EntityType(
    "IntegrationLog",
    "IntegrationLogs",
    "integration_log",
    (
        Property("id", "id", Edm.INT64),
        Property("pointId", "point_id", Edm.GUID),
        Property("attempt", "attempt", Edm.INT32),
        Property("status", "status", Edm.STRING, max_length=11),
        Property("log", "log", Edm.STRING, nullable=True, max_length=8000),
        Property("httpStatus", "http_status", Edm.INT16, nullable=True),
        Property("latencyMs", "latency_ms", Edm.INT32, nullable=True),
        Property("createdAt", "created_at", Edm.DATE_TIME_OFFSET),
    ),
    (Navigation("point", "PointRecord", "point_id", "id", collection=False, partner="logs"),),
    searched="log",
    owned="integration_log AS l WHERE EXISTS"
    " (SELECT 1 FROM point_record AS p WHERE p.id = l.point_id AND {own})",
)

INTEGRATION_RUN = EntityType(
    "IntegrationRun",
    "IntegrationRuns",
    "integration_run",
    (
        Property("id", "id", Edm.INT64),
        Property("runId", "run_id", Edm.GUID),
        Property("at", "at", Edm.DATE_TIME_OFFSET),
        Property("maxOpenRequests", "max_open_requests", Edm.DOUBLE),
        Property("openRequests", "open_requests", Edm.INT32),
        Property("delivered", "delivered", Edm.INT32),
        Property("failed", "failed", Edm.INT32),
        Property("rejected", "rejected", Edm.INT32),
        Property("latencyP50Ms", "latency_p50_ms", Edm.INT32, nullable=True),
        Property("latencyP95Ms", "latency_p95_ms", Edm.INT32, nullable=True),
        Property("policy", "policy", Edm.STRING),
    ),
)

_TYPES = {each.name: each for each in (POINT_RECORD, INTEGRATION_LOG, INTEGRATION_RUN)}
ENTITY_SETS = {each.entity_set: each for each in _TYPES.values()}
ENTITY_TYPES = tuple(_TYPES.values())
