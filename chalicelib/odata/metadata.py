"""``$metadata``: the model as CSDL XML, and the service document.

CSDL XML 4.01; JSON 4.01, section 5 (service document).
"""

import json
from functools import cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from chalicelib.odata.edm import Edm
from chalicelib.odata.model import CONTAINER, ENTITY_SETS, NAMESPACE, EntityType

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"

# Postgres keeps instants to the microsecond.
_PRECISION = 6


@cache
def csdl_xml(version: str) -> str:
    """Return the metadata document for a version of OData, 4.0 or 4.01."""
    document = Element("edmx:Edmx", {"xmlns:edmx": _EDMX, "Version": version})
    services = SubElement(document, "edmx:DataServices")
    schema = SubElement(services, "Schema", {"xmlns": _EDM, "Namespace": NAMESPACE})
    for entity in ENTITY_SETS.values():
        _add_entity_type(schema, entity)
    container = SubElement(schema, "EntityContainer", {"Name": CONTAINER})
    for entity in ENTITY_SETS.values():
        entity_set = SubElement(
            container, "EntitySet", {"Name": entity.entity_set, "EntityType": entity.qualified_name}
        )
        for navigation in entity.navigations:
            SubElement(
                entity_set,
                "NavigationPropertyBinding",
                {"Path": navigation.name, "Target": navigation.target.entity_set},
            )
    ElementTree.indent(document)
    text = ElementTree.tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


@cache
def service_document() -> str:
    """Return the entries of the service document as a JSON array."""
    entries = [{"name": name, "kind": "EntitySet", "url": name} for name in ENTITY_SETS]
    return json.dumps(entries, separators=(",", ":"))


def _add_entity_type(schema: Element, entity: EntityType) -> None:
    entity_type = SubElement(schema, "EntityType", {"Name": entity.name})
    SubElement(SubElement(entity_type, "Key"), "PropertyRef", {"Name": entity.key.name})
    for each in entity.properties:
        attributes = {"Name": each.name, "Type": str(each.type)}
        attributes["Nullable"] = str(each.nullable).lower()
        if each.max_length is not None:
            attributes["MaxLength"] = str(each.max_length)
        if each.type is Edm.DATE_TIME_OFFSET:
            attributes["Precision"] = str(_PRECISION)
        SubElement(entity_type, "Property", attributes)
    for navigation in entity.navigations:
        target = navigation.target.qualified_name
        attributes = {"Name": navigation.name, "Type": target, "Partner": navigation.partner}
        if navigation.collection:
            attributes["Type"] = f"Collection({target})"
        else:
            attributes["Nullable"] = "false"
        element = SubElement(entity_type, "NavigationProperty", attributes)
        if not navigation.collection:
            names = {each.column: each.name for each in entity.properties}
            SubElement(
                element,
                "ReferentialConstraint",
                {
                    "Property": names[navigation.column],
                    "ReferencedProperty": navigation.target.key.name,
                },
            )
