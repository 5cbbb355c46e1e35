"""What the service shows: entity types, their properties and navigations, and where each is stored.

A new property is one line here; ``$metadata``, expressions and responses follow from it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chalicelib.odata.edm import Edm
from chalicelib.point_record import FIELDS

NAMESPACE = "PunchClock"
CONTAINER = "Service"

# Where a word begins within a name such as utcOffsetMinutes.
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, eq=False)
class Property:
    """A property and the column that holds it. ``about`` is what ``$metadata`` says of it."""

    name: str
    type: Edm
    about: str = ""
    nullable: bool = False
    max_length: int | None = None
    may_be_nan: bool = False
    stored_as: str | None = None

    @cached_property
    def column(self) -> str:
        """What SQL calls it: the same, in SQL's way of writing, where it has no name of its own."""
        return self.stored_as or _WORD.sub("_", self.name).lower()


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
    about: str = ""

    @property
    def qualified_name(self) -> str:
        return f"{NAMESPACE}.{self.name}"

    def is_named(self, name: str) -> bool:
        """Say whether a name in a URL is its own, with the namespace or without."""
        return name in (self.name, self.qualified_name)

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
        Property("id", Edm.GUID, "Names the punch: the same who and when has the same id."),
        Property("employeeId", Edm.INT64, "Whose punch it is."),
        Property("employerId", Edm.INT64, "For whom the employee works."),
        Property("includedAt", Edm.DATE_TIME_OFFSET, "When the employee punched the clock."),
        Property("utcOffsetMinutes", Edm.INT16, "The device's offset from UTC then."),
        Property("deviceId", Edm.STRING, "What punched.", nullable=True, max_length=100),
        Property("latitude", Edm.DOUBLE, "Where: degrees north.", nullable=True),
        Property("longitude", Edm.DOUBLE, "Where: degrees east.", nullable=True),
        Property("accuracyMeters", Edm.DOUBLE, "How exact the place is.", nullable=True),
        Property("status", Edm.STRING, "Where it stands on its way to the legacy.", max_length=11),
        Property("attempts", Edm.INT32, "Deliveries tried so far."),
        Property("nextAttemptAt", Edm.DATE_TIME_OFFSET, "When the next is due.", nullable=True),
        Property("integratedAt", Edm.DATE_TIME_OFFSET, "When the legacy took it.", nullable=True),
        Property("createdAt", Edm.DATE_TIME_OFFSET, "When the service accepted it."),
        Property("replicatedAt", Edm.DATE_TIME_OFFSET, "When it came here.", nullable=True),
        Property("updatedAt", Edm.DATE_TIME_OFFSET, "When its status changed last.", nullable=True),
    ),
    (Navigation("logs", "IntegrationLog", "id", "point_id", collection=True, partner="point"),),
    orders=(("employeeId", "includedAt"), ("employerId", "includedAt")),
    owned="point_record AS p WHERE {own}",
    insertable=frozenset(FIELDS),
    searched="logs/log",
    about="One punch of one employee.",
)

INTEGRATION_LOG = EntityType(
    "IntegrationLog",
    "IntegrationLogs",
    "integration_log",
    (
        Property("id", Edm.INT64, "Counts up."),
        Property("pointId", Edm.GUID, "The point record."),
        Property("attempt", Edm.INT32, "The attempt's number; 0 before the first."),
        Property("status", Edm.STRING, "Where the record stood then.", max_length=11),
        Property("log", Edm.STRING, "What was said of it.", nullable=True, max_length=8000),
        Property("httpStatus", Edm.INT16, "What the legacy answered.", nullable=True),
        Property("latencyMs", Edm.INT32, "How long the call took.", nullable=True),
        Property("createdAt", Edm.DATE_TIME_OFFSET, "When this was written."),
    ),
    (Navigation("point", "PointRecord", "point_id", "id", collection=False, partner="logs"),),
    searched="log",
    owned="integration_log AS l WHERE EXISTS"
    " (SELECT 1 FROM point_record AS p WHERE p.id = l.point_id AND {own})",
    about="One step of a point record, or one attempt to deliver it.",
)

INTEGRATION_RUN = EntityType(
    "IntegrationRun",
    "IntegrationRuns",
    "integration_run",
    (
        Property("id", Edm.INT64, "Counts up."),
        Property("runId", Edm.GUID, "The run; it is here once for each flush."),
        Property("at", Edm.DATE_TIME_OFFSET, "When it flushed."),
        Property("maxOpenRequests", Edm.DOUBLE, "The limit of calls in flight."),
        Property("openRequests", Edm.INT32, "Calls in flight."),
        Property("delivered", Edm.INT32, "Records delivered since the last flush."),
        Property("failed", Edm.INT32, "Attempts that failed since then."),
        Property("rejected", Edm.INT32, "Attempts that the legacy refused since then."),
        Property("latencyP50Ms", Edm.INT32, "Half of the calls took less.", nullable=True),
        Property("latencyP95Ms", Edm.INT32, "Of 20 calls, 19 took less.", nullable=True),
        Property("policy", Edm.STRING, "How the limit learns."),
    ),
    about="What a run of the integrator did between two flushes.",
)

_TYPES = {each.name: each for each in (POINT_RECORD, INTEGRATION_LOG, INTEGRATION_RUN)}
ENTITY_SETS = {each.entity_set: each for each in _TYPES.values()}
ENTITY_TYPES = tuple(_TYPES.values())
