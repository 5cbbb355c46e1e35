"""The vocabulary annotations of ``$metadata``: descriptions, and the capabilities of the service.

Some terms promise support by default. Invariant: the service annotates each of those that it does
not support. The vocabularies: https://github.com/oasis-tcs/odata-vocabularies
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

from chalicelib.odata.apply.transformations import TRANSFORMATIONS
from chalicelib.odata.expressions.functions import FUNCTIONS
from chalicelib.odata.language.tokens import OPERATORS
from chalicelib.odata.model import EntityType, Property

CORE = "Org.OData.Core.V1"
CAPABILITIES = "Org.OData.Capabilities.V1"
AGGREGATION = "Org.OData.Aggregation.V1"
# The URL of each vocabulary, without the extension of the format (.xml or .json).
VOCABULARIES = {
    name: f"https://oasis-tcs.github.io/odata-vocabularies/vocabularies/{name}"
    for name in (CORE, CAPABILITIES, AGGREGATION)
}


@dataclass(frozen=True, slots=True)
class EnumMember:
    """A member of an enumeration type of a vocabulary."""

    type: str
    name: str


# The value of a term; a mapping is a record.
Value: TypeAlias = Union[  # noqa: UP007 - an alias that names itself
    bool, int, str, EnumMember, Sequence["Value"], Mapping[str, "Value"]
]
Annotations = Mapping[str, Value]

_FORMATS = [
    f"application/json;odata.metadata={metadata};IEEE754Compatible={compatible}"
    for metadata in ("minimal", "none", "full")
    for compatible in ("false", "true")
]
# Names of functions do not depend on case; in FUNCTIONS they are in lower case.
_CANONICAL_NAMES = {"matchespattern": "matchesPattern"}
# Keywords of expressions that are neither functions nor binary operators.
_KEYWORDS = ("all", "any", "case", "cast", "isof", "not")


def of_container() -> Annotations:
    """Return the annotations of the entity container, which describe the whole service."""
    return {
        f"{CORE}.Description": "Point records of the punch clock, with their way into the legacy.",
        f"{CORE}.ODataVersions": "4.0 4.01",
        f"{CORE}.ConventionalIDs": True,
        f"{CORE}.DereferenceableIDs": True,
        f"{CAPABILITIES}.ConformanceLevel": EnumMember(
            f"{CAPABILITIES}.ConformanceLevelType", "Advanced"
        ),
        f"{CAPABILITIES}.SupportedFormats": _FORMATS,
        f"{CAPABILITIES}.FilterFunctions": sorted(
            {*(_CANONICAL_NAMES.get(each, each) for each in FUNCTIONS), *OPERATORS, *_KEYWORDS}
        ),
        f"{CAPABILITIES}.AsynchronousRequestsSupported": False,
        f"{CAPABILITIES}.CrossJoinSupported": False,
        f"{CAPABILITIES}.KeyAsSegmentSupported": False,
        f"{CAPABILITIES}.QuerySegmentSupported": True,
        f"{CAPABILITIES}.BatchSupport": {
            "Supported": True,
            "ContinueOnErrorSupported": True,
            "ReferencesInRequestBodiesSupported": False,
            "ReferencesAcrossChangeSetsSupported": True,
            "EtagReferencesSupported": False,
            "RequestDependencyConditionsSupported": False,
            "SupportedFormats": ["multipart/mixed", "application/json"],
        },
    }


def of_entity_set(entity: EntityType, expand_depth: int) -> Annotations:
    """Return the annotations of an entity set: its capabilities."""
    insertable = bool(entity.insertable)
    terms: dict[str, Value] = {
        f"{CAPABILITIES}.TopSupported": True,
        f"{CAPABILITIES}.SkipSupported": True,
        f"{CAPABILITIES}.ComputeSupported": True,
        f"{CAPABILITIES}.IndexableByKey": True,
        f"{CAPABILITIES}.SelectSupport": {"Supported": True, "Countable": True},
        f"{CAPABILITIES}.CountRestrictions": {"Countable": True},
        f"{CAPABILITIES}.FilterRestrictions": {"Filterable": True},
        f"{CAPABILITIES}.SortRestrictions": {"Sortable": True},
        f"{CAPABILITIES}.SearchRestrictions": {"Searchable": entity.search_path is not None},
        f"{CAPABILITIES}.ExpandRestrictions": {
            "Expandable": bool(entity.navigations),
            "MaxLevels": expand_depth,
        },
        f"{CAPABILITIES}.InsertRestrictions": {"Insertable": insertable},
        f"{CAPABILITIES}.UpdateRestrictions": {"Updatable": False},
        f"{CAPABILITIES}.DeleteRestrictions": {"Deletable": False},
        f"{CAPABILITIES}.ChangeTracking": {"Supported": False},
        f"{AGGREGATION}.ApplySupported": {
            "Transformations": sorted(TRANSFORMATIONS),
            "Rollup": EnumMember(f"{AGGREGATION}.RollupType", "MultipleHierarchies"),
            "From": False,
        },
    }
    if insertable:
        terms[f"{CAPABILITIES}.DeepInsertSupport"] = {"Supported": False}
    return terms


def of_property(entity: EntityType, prop: Property) -> Annotations:
    """Return the annotations of a property: its description, and who sets its value."""
    terms: dict[str, Value] = {f"{CORE}.Description": prop.description}
    if prop.name in entity.insertable:
        terms[f"{CORE}.Immutable"] = True
    elif prop not in entity.key:  # python-odata cannot insert entities with a Computed key
        terms[f"{CORE}.Computed"] = True
    return terms


def of_type(entity: EntityType) -> Annotations:
    """Return the annotations of an entity type: its description."""
    return {f"{CORE}.Description": entity.description}
