"""``$metadata`` as CSDL JSON 4.01: what ``xml`` writes as XML, as an object."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from chalicelib.odata.edm import Edm
from chalicelib.odata.metadata import annotations
from chalicelib.odata.metadata.annotations import Annotations, Member, Value
from chalicelib.odata.metadata.csdl_xml import PRECISION, referential_constraint
from chalicelib.odata.model import (
    CONTAINER,
    ENTITY_SETS,
    NAMESPACE,
    EntityType,
    Navigation,
    Property,
)


@cache
def csdl_json(version: str, expand_depth: int) -> str:
    """Return the metadata document for a version of OData, 4.0 or 4.01."""
    container: dict[str, Any] = {"$Kind": "EntityContainer"}
    for entity in ENTITY_SETS.values():
        container[entity.entity_set] = _entity_set(entity, expand_depth)
    container |= _annotated(annotations.of_container())
    references = {
        f"{place}.json": {"$Include": [{"$Namespace": namespace}]}
        for namespace, place in annotations.VOCABULARIES.items()
    }
    document = {
        "$Version": version,
        "$Reference": references,
        "$EntityContainer": f"{NAMESPACE}.{CONTAINER}",
        NAMESPACE: {each.name: _entity_type(each) for each in ENTITY_SETS.values()}
        | {CONTAINER: container},
    }
    return json.dumps(document, separators=(",", ":"))


def _entity_type(entity: EntityType) -> dict[str, Any]:
    found: dict[str, Any] = {"$Kind": "EntityType", "$Key": [entity.key.name]}
    for each in entity.properties:
        found[each.name] = _property(each) | _annotated(annotations.of_property(entity, each))
    for navigation in entity.navigations:
        found[navigation.name] = _navigation(entity, navigation)
    return found | _annotated(annotations.of_type(entity))


def _property(prop: Property) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if prop.type is not Edm.STRING:
        found["$Type"] = str(prop.type)
    if prop.nullable:
        found["$Nullable"] = True
    if prop.max_length is not None:
        found["$MaxLength"] = prop.max_length
    if prop.type is Edm.DATE_TIME_OFFSET:
        found["$Precision"] = PRECISION
    return found


def _navigation(entity: EntityType, navigation: Navigation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "$Kind": "NavigationProperty",
        "$Type": navigation.target.qualified_name,
        "$Partner": navigation.partner,
    }
    if navigation.collection:
        return found | {"$Collection": True}
    own, theirs = referential_constraint(entity, navigation)
    return found | {"$ReferentialConstraint": {own: theirs}}


def _entity_set(entity: EntityType, expand_depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"$Collection": True, "$Type": entity.qualified_name}
    bindings = {each.name: each.target.entity_set for each in entity.navigations}
    if bindings:
        found["$NavigationPropertyBinding"] = bindings
    return found | _annotated(annotations.of_entity_set(entity, expand_depth))


def _annotated(terms: Annotations) -> dict[str, Any]:
    return {f"@{term}": _written(value) for term, value in terms.items()}


def _written(value: Value) -> Any:
    """Write a member of an enumeration by its name, wherever it stands."""
    if isinstance(value, Mapping):
        return {name: _written(inner) for name, inner in value.items()}
    return value.name if isinstance(value, Member) else value
