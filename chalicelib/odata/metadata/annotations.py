"""What ``$metadata`` says of the model beyond its shape: what is supported, what things mean.

Of everything that a term's default would promise and the service does not keep, it says so. The
vocabularies: https://github.com/oasis-tcs/odata-vocabularies
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
# Where each is: the format of the document goes at the end.
VOCABULARIES = {
    name: f"https://oasis-tcs.github.io/odata-vocabularies/vocabularies/{name}"
    for name in (CORE, CAPABILITIES, AGGREGATION)
}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an enumeration type of a vocabulary."""

    type: str
    name: str


# What a term may be given: a record is a mapping.
Value: TypeAlias = Union[  # noqa: UP007 - an alias that names itself
    bool, int, str, Member, Sequence["Value"], Mapping[str, "Value"]
]
Annotations = Mapping[str, Value]

_FORMATS = [
    f"application/json;odata.metadata={metadata};IEEE754Compatible={compatible}"
    for metadata in ("minimal", "none", "full")
    for compatible in ("false", "true")
]
# What the grammar has besides functions and operators between two values.
_OF_SYNTAX = ("all", "any", "case", "cast", "isof", "not")


def of_container() -> Annotations:
    """Return what holds for the whole service."""
    return {
        f"{CORE}.Description": "Point records on their way from the punch clock to the legacy.",
        f"{CORE}.ODataVersions": "4.0 4.01",
        f"{CORE}.ConventionalIDs": True,
        f"{CORE}.DereferenceableIDs": True,
        f"{CAPABILITIES}.ConformanceLevel": Member(
            f"{CAPABILITIES}.ConformanceLevelType", "Advanced"
        ),
        f"{CAPABILITIES}.SupportedFormats": _FORMATS,
        f"{CAPABILITIES}.FilterFunctions": sorted({*FUNCTIONS, *OPERATORS, *_OF_SYNTAX}),
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
    """Return what can be done with the entities of a set."""
    insertable = bool(entity.insertable)
    found: dict[str, Value] = {
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
            "Rollup": Member(f"{AGGREGATION}.RollupType", "None"),
            "From": False,
        },
    }
    if insertable:
        found[f"{CAPABILITIES}.DeepInsertSupport"] = {"Supported": False}
    return found


def of_property(entity: EntityType, prop: Property) -> Annotations:
    """Return what a property means, and who says what it is."""
    found: dict[str, Value] = {f"{CORE}.Description": prop.description}
    if prop.name in entity.insertable:
        found[f"{CORE}.Immutable"] = True
    elif prop is not entity.key:  # python-odata can't insert where the key is said to be computed
        found[f"{CORE}.Computed"] = True
    return found


def of_type(entity: EntityType) -> Annotations:
    """Return what an entity is."""
    return {f"{CORE}.Description": entity.description}
