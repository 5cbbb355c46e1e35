"""Write ``$metadata`` as CSDL JSON 4.01: the same document as ``csdl_xml``, as a JSON object."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from chalicelib.odata.edm import Edm
from chalicelib.odata.metadata import annotations
from chalicelib.odata.metadata.annotations import Annotations, EnumMember, Value
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
    container |= _annotation_members(annotations.of_container())
    references = {
        f"{url}.json": {"$Include": [{"$Namespace": namespace}]}
        for namespace, url in annotations.VOCABULARIES.items()
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
    members: dict[str, Any] = {"$Kind": "EntityType", "$Key": [each.name for each in entity.key]}
    for each in entity.properties:
        members[each.name] = _property(each) | _annotation_members(
            annotations.of_property(entity, each)
        )
    for navigation in entity.navigations:
        members[navigation.name] = _navigation(entity, navigation)
    return members | _annotation_members(annotations.of_type(entity))


def _property(prop: Property) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if prop.type is not Edm.STRING:
        members["$Type"] = str(prop.type)
    if prop.nullable:
        members["$Nullable"] = True
    if prop.max_length is not None:
        members["$MaxLength"] = prop.max_length
    if prop.type in (Edm.DATE_TIME_OFFSET, Edm.TIME_OF_DAY):
        members["$Precision"] = PRECISION
    return members


def _navigation(entity: EntityType, navigation: Navigation) -> dict[str, Any]:
    members: dict[str, Any] = {
        "$Kind": "NavigationProperty",
        "$Type": navigation.target.qualified_name,
        "$Partner": navigation.partner,
    }
    if navigation.collection:
        return members | {"$Collection": True}
    dependent, principal = referential_constraint(entity, navigation)
    return members | {"$ReferentialConstraint": {dependent: principal}}


def _entity_set(entity: EntityType, expand_depth: int) -> dict[str, Any]:
    members: dict[str, Any] = {"$Collection": True, "$Type": entity.qualified_name}
    bindings = {each.name: each.target.entity_set for each in entity.navigations}
    if bindings:
        members["$NavigationPropertyBinding"] = bindings
    return members | _annotation_members(annotations.of_entity_set(entity, expand_depth))


def _annotation_members(terms: Annotations) -> dict[str, Any]:
    return {f"@{term}": _json_value(value) for term, value in terms.items()}


def _json_value(value: Value) -> Any:
    """Replace each enumeration member in a value by its name."""
    if isinstance(value, Mapping):
        return {name: _json_value(inner) for name, inner in value.items()}
    return value.name if isinstance(value, EnumMember) else value
