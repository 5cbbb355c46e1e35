"""The entity data model: entity types, properties, navigation properties, and where each is stored.

To add a property, add one line here; ``$metadata``, expressions and responses follow from it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chalicelib.odata.edm import Edm
from chalicelib.point_record import FIELDS

NAMESPACE = "PunchClock"
CONTAINER = "Service"

# The start of a word within a name such as utcOffsetMinutes.
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, eq=False)
class Property:
    """A property and its column. ``description`` appears in ``$metadata``."""

    name: str
    type: Edm
    description: str = ""
    nullable: bool = False
    max_length: int | None = None
    may_be_nan: bool = False
    stored_as: str | None = None

    @cached_property
    def column(self) -> str:
        """The column: ``stored_as``, or else the name in snake case."""
        return self.stored_as or _WORD.sub("_", self.name).lower()


@dataclass(frozen=True, eq=False)
class Navigation:
    """A navigation property: it leads to the entities whose ``target_column`` equals ``column``."""

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
    def inverse(self) -> "Navigation":
        """The navigation property in the opposite direction: the partner of this one."""
        return next(each for each in self.target.navigations if each.name == self.partner)


@dataclass(frozen=True, eq=False)
class EntityType:
    """An entity type with its one entity set and its one table.

    Attributes:
        properties: those of the key come first.
        indexed_orders: pairs of properties; for one value of the first, an index sorts by the
            second.
        own_rows: the SELECT for a principal that may read only its own records. ``{own}`` stands
            for the condition on ``point_record AS p``, whose indexes begin with the owner. If
            empty, such principals see no entity of the type.
        insertable: the properties that a client may set when it creates an entity. The service
            computes the others.
        search_path: the path to the text that ``$search`` searches, None if there is none.
        key_size: how many properties the key has.
        time_of_key: the property whose milliseconds the key begins with: ``chalicelib.record_id``.
        day_of_key: the property that has the day of that instant, in an offset below 24 hours.
    """

    name: str
    entity_set: str
    table: str
    properties: tuple[Property, ...]
    navigations: tuple[Navigation, ...] = ()
    indexed_orders: tuple[tuple[str, str], ...] = ()
    own_rows: str = ""
    insertable: frozenset[str] = frozenset()
    search_path: str | None = None
    description: str = ""
    key_size: int = 1
    time_of_key: str = ""
    day_of_key: str = ""

    @property
    def qualified_name(self) -> str:
        return f"{NAMESPACE}.{self.name}"

    def is_named(self, name: str) -> bool:
        """Return whether a name in a URL is this type's, with or without the namespace."""
        return name in (self.name, self.qualified_name)

    @property
    def key(self) -> tuple[Property, ...]:
        return self.properties[: self.key_size]

    def property_named(self, name: str) -> Property:
        """Return a property that is known to exist."""
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
        Property("id", Edm.GUID, "Id of the punch: employee, employer and instant."),
        Property("employeeId", Edm.INT64, "The employee who punched."),
        Property("employerId", Edm.INT64, "The employer of the employee."),
        Property("includedAt", Edm.DATE_TIME_OFFSET, "When the employee punched the clock."),
        Property("utcOffsetMinutes", Edm.INT16, "The device's offset from UTC at that time."),
        Property("localDate", Edm.DATE, "The day of the punch where the device was."),
        Property("localTime", Edm.TIME_OF_DAY, "The time of day where the device was."),
        Property("deviceId", Edm.STRING, "The device.", nullable=True, max_length=100),
        Property("latitude", Edm.DOUBLE, "Latitude in degrees, north positive.", nullable=True),
        Property("longitude", Edm.DOUBLE, "Longitude in degrees, east positive.", nullable=True),
        Property("accuracyMeters", Edm.DOUBLE, "Accuracy of the position.", nullable=True),
        Property("status", Edm.STRING, "Progress of delivery to the legacy system.", max_length=11),
        Property("attempts", Edm.INT32, "Delivery attempts so far."),
        Property("nextAttemptAt", Edm.DATE_TIME_OFFSET, "When an attempt is due.", nullable=True),
        Property("integratedAt", Edm.DATE_TIME_OFFSET, "When it was delivered.", nullable=True),
        Property("createdAt", Edm.DATE_TIME_OFFSET, "When the service accepted it."),
        Property("postedBy", Edm.STRING, "Subject of its token.", nullable=True, max_length=255),
        Property("postedAs", Edm.STRING, "Role of its token.", nullable=True, max_length=11),
        Property("replicatedAt", Edm.DATE_TIME_OFFSET, "When it reached Postgres.", nullable=True),
        Property("updatedAt", Edm.DATE_TIME_OFFSET, "When the status last changed.", nullable=True),
    ),
    (Navigation("logs", "IntegrationLog", "id", "point_id", collection=True, partner="point"),),
    indexed_orders=(("employeeId", "includedAt"), ("employerId", "includedAt")),
    own_rows="SELECT * FROM point_record AS p WHERE {own}",
    insertable=frozenset(FIELDS),
    search_path="logs/log",
    time_of_key="includedAt",
    day_of_key="localDate",
    description="One punch of one employee.",
)

INTEGRATION_LOG = EntityType(
    "IntegrationLog",
    "IntegrationLogs",
    "integration_log",
    (
        Property("pointId", Edm.GUID, "The point record."),
        Property("number", Edm.INT32, "Number of the entry within the record, ascending from 1."),
        Property("attempt", Edm.INT32, "Number of the attempt; 0 before the first."),
        Property("status", Edm.STRING, "Status of the record at that time.", max_length=11),
        Property("log", Edm.STRING, "Message about this step.", nullable=True, max_length=8000),
        Property("httpStatus", Edm.INT16, "HTTP status of the response.", nullable=True),
        Property("latencyMs", Edm.INT32, "Duration of the call, in milliseconds.", nullable=True),
        Property("createdAt", Edm.DATE_TIME_OFFSET, "When the entry was written."),
    ),
    (Navigation("point", "PointRecord", "point_id", "id", collection=False, partner="logs"),),
    search_path="log",
    own_rows="SELECT l.* FROM point_record AS p JOIN integration_log AS l ON l.point_id = p.id"
    " WHERE {own}",
    key_size=2,
    description="One step in the life of a point record, such as a delivery attempt.",
)

INTEGRATION_RUN = EntityType(
    "IntegrationRun",
    "IntegrationRuns",
    "integration_run",
    (
        Property("id", Edm.INT64, "Number of the entry, ascending."),
        Property("runId", Edm.GUID, "The run; it has one entry for each flush."),
        Property("at", Edm.DATE_TIME_OFFSET, "When the flush took place."),
        Property("maxOpenRequests", Edm.DOUBLE, "Limit of concurrent calls."),
        Property("openRequests", Edm.INT32, "Concurrent calls at that time."),
        Property("delivered", Edm.INT32, "Records delivered since the previous flush."),
        Property("failed", Edm.INT32, "Calls failed or overloaded since the previous flush."),
        Property("rejected", Edm.INT32, "Attempts refused since the previous flush."),
        Property("latencyP50Ms", Edm.INT32, "Median latency of deliveries, in ms.", nullable=True),
        Property("latencyP95Ms", Edm.INT32, "95th percentile of delivery latency.", nullable=True),
        Property("policy", Edm.STRING, "Policy that sets the limit."),
    ),
    description="What one integrator run did between two flushes.",
)

_TYPES = {each.name: each for each in (POINT_RECORD, INTEGRATION_LOG, INTEGRATION_RUN)}
ENTITY_SETS = {each.entity_set: each for each in _TYPES.values()}
ENTITY_TYPES = tuple(_TYPES.values())
