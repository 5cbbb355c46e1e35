"""Write ``$metadata`` as CSDL XML 4.01, and the service document.

The service document is defined in OData JSON 4.01, section 5.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from chalicelib.odata.edm import Edm
from chalicelib.odata.metadata import annotations
from chalicelib.odata.metadata.annotations import Annotations, EnumMember, Value
from chalicelib.odata.model import (
    CONTAINER,
    ENTITY_SETS,
    NAMESPACE,
    EntityType,
    Navigation,
    Property,
)

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"

# Postgres stores timestamps in microseconds: six digits of a second.
PRECISION = 6


@cache
def csdl_xml(version: str, expand_depth: int) -> str:
    """Return the metadata document for a version of OData, 4.0 or 4.01."""
    document = Element("edmx:Edmx", {"xmlns:edmx": _EDMX, "Version": version})
    for namespace, url in annotations.VOCABULARIES.items():
        reference = SubElement(document, "edmx:Reference", {"Uri": f"{url}.xml"})
        SubElement(reference, "edmx:Include", {"Namespace": namespace})
    services = SubElement(document, "edmx:DataServices")
    schema = SubElement(services, "Schema", {"xmlns": _EDM, "Namespace": NAMESPACE})
    for entity in ENTITY_SETS.values():
        _add_entity_type(schema, entity)
    container = SubElement(schema, "EntityContainer", {"Name": CONTAINER})
    for entity in ENTITY_SETS.values():
        _add_entity_set(container, entity, expand_depth)
    _annotate(container, annotations.of_container())
    ElementTree.indent(document)
    text = ElementTree.tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


@cache
def service_document() -> str:
    """Return the entries of the service document as a JSON array."""
    entries = [{"name": name, "kind": "EntitySet", "url": name} for name in ENTITY_SETS]
    return json.dumps(entries, separators=(",", ":"))


def referential_constraint(entity: EntityType, navigation: Navigation) -> tuple[str, str]:
    """Return the dependent property of a single navigation, and its principal in the target.

    CSDL XML 4.01, section 8.5.
    """
    names = {each.column: each.name for each in entity.properties}
    (principal,) = navigation.target.key
    return names[navigation.column], principal.name


def _add_entity_type(schema: Element, entity: EntityType) -> None:
    entity_type = SubElement(schema, "EntityType", {"Name": entity.name})
    key = SubElement(entity_type, "Key")
    for each in entity.key:
        SubElement(key, "PropertyRef", {"Name": each.name})
    for each in entity.properties:
        _add_property(entity_type, entity, each)
    for navigation in entity.navigations:
        _add_navigation(entity_type, entity, navigation)
    _annotate(entity_type, annotations.of_type(entity))


def _add_property(entity_type: Element, entity: EntityType, prop: Property) -> None:
    attributes = {"Name": prop.name, "Type": str(prop.type)}
    attributes["Nullable"] = str(prop.nullable).lower()
    if prop.max_length is not None:
        attributes["MaxLength"] = str(prop.max_length)
    if prop.type in (Edm.DATE_TIME_OFFSET, Edm.TIME_OF_DAY):
        attributes["Precision"] = str(PRECISION)
    element = SubElement(entity_type, "Property", attributes)
    _annotate(element, annotations.of_property(entity, prop))


def _add_navigation(entity_type: Element, entity: EntityType, navigation: Navigation) -> None:
    target = navigation.target.qualified_name
    attributes = {"Name": navigation.name, "Type": target, "Partner": navigation.partner}
    if navigation.collection:
        attributes["Type"] = f"Collection({target})"
        SubElement(entity_type, "NavigationProperty", attributes)
        return
    attributes["Nullable"] = "false"
    dependent, principal = referential_constraint(entity, navigation)
    SubElement(
        SubElement(entity_type, "NavigationProperty", attributes),
        "ReferentialConstraint",
        {"Property": dependent, "ReferencedProperty": principal},
    )


def _add_entity_set(container: Element, entity: EntityType, expand_depth: int) -> None:
    attributes = {"Name": entity.entity_set, "EntityType": entity.qualified_name}
    entity_set = SubElement(container, "EntitySet", attributes)
    for navigation in entity.navigations:
        binding = {"Path": navigation.name, "Target": navigation.target.entity_set}
        SubElement(entity_set, "NavigationPropertyBinding", binding)
    _annotate(entity_set, annotations.of_entity_set(entity, expand_depth))


def _annotate(element: Element, terms: Annotations) -> None:
    for term, value in terms.items():
        _add_value(SubElement(element, "Annotation", {"Term": term}), value)


def _add_value(element: Element, value: Value) -> None:
    """Add the value of an annotation to its element: CSDL XML 4.01, sections 14.3 and 14.4."""
    constant = _constant(value)
    if constant:
        kind, text = constant
        element.set(kind, text)
    elif isinstance(value, Mapping):
        record = SubElement(element, "Record")
        for name, inner in value.items():
            _add_value(SubElement(record, "PropertyValue", {"Property": name}), inner)
    elif isinstance(value, Sequence):
        collection = SubElement(element, "Collection")
        for inner in value:
            SubElement(collection, "String").text = str(inner)


def _constant(value: Value) -> tuple[str, str] | None:
    """Return the attribute for a constant expression, and its text; None for other values."""
    match value:
        case bool():
            return "Bool", str(value).lower()
        case int():
            return "Int", str(value)
        case str():
            return "String", value
        case EnumMember():
            return "EnumMember", f"{value.type}/{value.name}"
    return None
