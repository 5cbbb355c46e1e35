"""``$metadata`` has the structure of the standard, and its two formats are equivalent."""

import json
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from chalicelib.errors import NotAcceptableError, NotImplementedByServiceError
from chalicelib.odata.metadata import annotations
from chalicelib.odata.model import ENTITY_SETS
from tests.support.odata.client import Client

EDMX = "{http://docs.oasis-open.org/odata/ns/edmx}"
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"

# CSDL XML 4.01: the attributes (required ones are marked by *) and child elements of each element.
STRUCTURE: dict[str, tuple[str, str]] = {
    f"{EDMX}Edmx": ("Version*", f"{EDMX}Reference {EDMX}DataServices"),
    f"{EDMX}Reference": ("Uri*", f"{EDMX}Include"),
    f"{EDMX}Include": ("Namespace* Alias", ""),
    f"{EDMX}DataServices": ("", f"{EDM}Schema"),
    f"{EDM}Schema": ("Namespace* Alias", f"{EDM}EntityType {EDM}EntityContainer"),
    f"{EDM}EntityType": (
        "Name*",
        f"{EDM}Key {EDM}Property {EDM}NavigationProperty {EDM}Annotation",
    ),
    f"{EDM}Key": ("", f"{EDM}PropertyRef"),
    f"{EDM}PropertyRef": ("Name*", ""),
    f"{EDM}Property": ("Name* Type* Nullable MaxLength Precision Scale", f"{EDM}Annotation"),
    f"{EDM}NavigationProperty": ("Name* Type* Nullable Partner", f"{EDM}ReferentialConstraint"),
    f"{EDM}ReferentialConstraint": ("Property* ReferencedProperty*", ""),
    f"{EDM}EntityContainer": ("Name*", f"{EDM}EntitySet {EDM}Annotation"),
    f"{EDM}EntitySet": (
        "Name* EntityType*",
        f"{EDM}NavigationPropertyBinding {EDM}Annotation",
    ),
    f"{EDM}NavigationPropertyBinding": ("Path* Target*", ""),
    f"{EDM}Annotation": ("Term* Bool Int String EnumMember", f"{EDM}Record {EDM}Collection"),
    f"{EDM}Record": ("", f"{EDM}PropertyValue"),
    f"{EDM}PropertyValue": ("Property* Bool Int String EnumMember", f"{EDM}Record {EDM}Collection"),
    f"{EDM}Collection": ("", f"{EDM}String"),
    f"{EDM}String": ("", ""),
}

# The model elements to which each term applies, as its vocabulary declares.
APPLIES_TO = {
    "Core.Description": "EntityType Property EntityContainer",
    "Core.Computed": "Property",
    "Core.Immutable": "Property",
    "Core.ODataVersions": "EntityContainer",
    "Core.ConventionalIDs": "EntityContainer",
    "Core.DereferenceableIDs": "EntityContainer",
    "Capabilities.ConformanceLevel": "EntityContainer",
    "Capabilities.SupportedFormats": "EntityContainer",
    "Capabilities.FilterFunctions": "EntityContainer EntitySet",
    "Capabilities.AsynchronousRequestsSupported": "EntityContainer",
    "Capabilities.CrossJoinSupported": "EntityContainer",
    "Capabilities.KeyAsSegmentSupported": "EntityContainer",
    "Capabilities.QuerySegmentSupported": "EntityContainer",
    "Capabilities.BatchSupport": "EntityContainer",
    "Capabilities.TopSupported": "EntitySet",
    "Capabilities.SkipSupported": "EntitySet",
    "Capabilities.ComputeSupported": "EntitySet",
    "Capabilities.IndexableByKey": "EntitySet",
    "Capabilities.SelectSupport": "EntitySet",
    "Capabilities.CountRestrictions": "EntitySet",
    "Capabilities.FilterRestrictions": "EntitySet",
    "Capabilities.SortRestrictions": "EntitySet",
    "Capabilities.SearchRestrictions": "EntitySet",
    "Capabilities.ExpandRestrictions": "EntitySet",
    "Capabilities.InsertRestrictions": "EntitySet",
    "Capabilities.UpdateRestrictions": "EntitySet",
    "Capabilities.DeleteRestrictions": "EntitySet",
    "Capabilities.DeepInsertSupport": "EntitySet",
    "Capabilities.ChangeTracking": "EntitySet",
    "Aggregation.ApplySupported": "EntitySet EntityContainer",
}


def document(client: Client, **headers: str) -> Element:
    answer = client.get("$metadata", **headers)
    assert answer.headers["Content-Type"] == "application/xml"
    return ElementTree.fromstring(answer.body)  # noqa: S314 - our own


def csdl(client: Client, **headers: str) -> Any:
    answer = client.get("$metadata", ("$format", "json"), **headers)
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)


def test_elements_have_the_attributes_and_children_of_the_standard(client: Client) -> None:
    for element in document(client).iter():
        attributes, children = STRUCTURE[element.tag]
        names = [each.rstrip("*") for each in attributes.split()]
        assert set(element.attrib) <= set(names), element.tag
        for name in attributes.split():
            assert not name.endswith("*") or name.rstrip("*") in element.attrib, element.tag
        kinds = [child.tag for child in element]
        assert set(kinds) <= set(children.split()), element.tag
        values = set(element.attrib) & {"Bool", "Int", "String", "EnumMember"}
        if element.tag in (f"{EDM}Annotation", f"{EDM}PropertyValue"):
            assert len(values) + len(kinds) == 1, element.attrib


def test_references_within_the_document_resolve(client: Client) -> None:
    root = document(client)
    included = {each.attrib["Namespace"] for each in root.iter(f"{EDMX}Include")}
    types = {each.attrib["Name"]: each for each in root.iter(f"{EDM}EntityType")}
    sets = {each.attrib["Name"]: each for each in root.iter(f"{EDM}EntitySet")}

    def members(of: str) -> dict[str, Element]:
        kind = types[of.removeprefix("Collection(").removesuffix(")").removeprefix("PunchClock.")]
        return {each.attrib["Name"]: each for each in kind if "Name" in each.attrib}

    for name, kind in types.items():
        assert {each.attrib["Name"] for each in kind.iter(f"{EDM}PropertyRef")} <= set(
            members(name)
        )
        for navigation in kind.iter(f"{EDM}NavigationProperty"):
            target = members(navigation.attrib["Type"])
            partner = target[navigation.attrib["Partner"]].attrib
            assert partner["Partner"] == navigation.attrib["Name"]
            for constraint in navigation:
                assert constraint.attrib["Property"] in members(name)
                assert constraint.attrib["ReferencedProperty"] in target
            assert ("Nullable" in navigation.attrib) != navigation.attrib["Type"].startswith("Coll")
    for entity_set in sets.values():
        for binding in entity_set.iter(f"{EDM}NavigationPropertyBinding"):
            path = members(entity_set.attrib["EntityType"])[binding.attrib["Path"]]
            bound = sets[binding.attrib["Target"]].attrib["EntityType"]
            assert bound in path.attrib["Type"]
    parent_of = {child: parent for parent in root.iter() for child in parent}
    for annotation in root.iter(f"{EDM}Annotation"):
        namespace, _, term = annotation.attrib["Term"].rpartition(".")
        assert namespace in included
        short = f"{namespace.split('.')[2]}.{term}"
        target_kind = parent_of[annotation].tag.removeprefix(EDM)
        assert target_kind in APPLIES_TO[short].split(), short


def test_functions_of_filters_have_their_canonical_names() -> None:
    functions = annotations.of_container()["Org.OData.Capabilities.V1.FilterFunctions"]
    assert isinstance(functions, list)
    assert {"matchesPattern", "fractionalseconds", "totaloffsetminutes"} <= set(functions)
    assert [each for each in functions if each != each.lower()] == ["matchesPattern"]


def test_every_property_has_a_description_and_precision(client: Client) -> None:
    for prop in document(client).iter(f"{EDM}Property"):
        terms = {each.attrib["Term"]: each.attrib for each in prop}
        assert terms["Org.OData.Core.V1.Description"]["String"]
        keys = {"id", "pointId", "number"}
        may_be_given = prop.attrib["Name"] in {*keys, *ENTITY_SETS["PointRecords"].insertable}
        assert "Org.OData.Core.V1.Computed" in terms or may_be_given
        if prop.attrib["Type"] == "Edm.DateTimeOffset":
            assert prop.attrib["Precision"] == "6"


def test_supported_features_of_apply_are_declared(client: Client) -> None:
    container = csdl(client)["PunchClock"]["Service"]
    for name in ENTITY_SETS:
        supported = container[name]["@Org.OData.Aggregation.V1.ApplySupported"]
        assert supported["Rollup"] == "MultipleHierarchies"
        first, second, *_ = (each.name for each in ENTITY_SETS[name].properties)
        rollup = f"groupby((rollup({first},{second}),rollup({second},{first})))"
        assert client.get(name, ("$apply", rollup)).status == 200
        assert supported["From"] is False
        with pytest.raises(NotImplementedByServiceError):
            client.get(name, ("$apply", "aggregate(id with sum as s from id with max)"))


def test_filter_functions_list_operators_and_functions(client: Client) -> None:
    functions = csdl(client)["PunchClock"]["Service"]["@Org.OData.Capabilities.V1.FilterFunctions"]
    assert {"eq", "in", "divby", "not", "any", "cast", "case", "contains", "now"} <= set(functions)
    assert "has" not in functions


def test_xml_and_json_metadata_are_equivalent(client: Client) -> None:
    for version in ("4.0", "4.01"):
        root = document(client, odata_maxversion=version)
        csdl_json = csdl(client, odata_maxversion=version)
        assert csdl_json["$Version"] == root.attrib["Version"] == version
        assert csdl_json["$EntityContainer"] == "PunchClock.Service"
        assert set(csdl_json["$Reference"]) == {
            f"{url}.json" for url in annotations.VOCABULARIES.values()
        }
        schema = {name: as_json(each) for each in root.iter() if (name := named(each))}
        assert csdl_json["PunchClock"] == schema


def named(element: Element) -> str | None:
    top = (f"{EDM}EntityType", f"{EDM}EntityContainer")
    return element.attrib["Name"] if element.tag in top else None


def as_json(element: Element) -> Any:
    """Convert an element to CSDL JSON 4.01."""
    tag, given = element.tag.removeprefix(EDM), dict(element.attrib)
    kind = given.get("Type", given.get("EntityType", ""))
    collection = {"$Collection": True} if kind.startswith("Collection(") else {}
    bare = kind.removeprefix("Collection(").removesuffix(")")
    members: dict[str, Any] = {}
    if tag in ("EntityType", "EntityContainer", "NavigationProperty"):
        members["$Kind"] = tag
    if tag == "EntitySet":
        collection = {"$Collection": True}
    if bare and not (tag == "Property" and bare == "Edm.String"):
        members["$Type"] = bare
    if given.get("Nullable") == "true":
        members["$Nullable"] = True
    if "Partner" in given:
        members["$Partner"] = given["Partner"]
    for name in ("MaxLength", "Precision"):
        if name in given:
            members[f"${name}"] = int(given[name])
    for child in element:
        inner = child.attrib
        match child.tag.removeprefix(EDM):
            case "Key":
                members["$Key"] = [each.attrib["Name"] for each in child]
            case "ReferentialConstraint":
                members["$ReferentialConstraint"] = {inner["Property"]: inner["ReferencedProperty"]}
            case "NavigationPropertyBinding":
                bindings = members.setdefault("$NavigationPropertyBinding", {})
                bindings[inner["Path"]] = inner["Target"]
            case "Annotation":
                members[f"@{inner['Term']}"] = value(child)
            case _:
                members[inner["Name"]] = as_json(child)
    return members | collection


def value(element: Element) -> Any:
    given = element.attrib
    if "Bool" in given:
        return given["Bool"] == "true"
    if "Int" in given:
        return int(given["Int"])
    if "EnumMember" in given:
        return given["EnumMember"].rpartition("/")[2]
    if "String" in given:
        return given["String"]
    (inner,) = element
    if inner.tag == f"{EDM}Record":
        return {each.attrib["Property"]: value(each) for each in inner}
    return [each.text for each in inner]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "xml"),
        ("application/xml", "xml"),
        ("application/*", "xml"),
        ("application/json", "json"),
        ("application/json;odata.metadata=minimal", "json"),
        ("application/xml, application/json", "xml"),
        ("application/xml;q=0.5, application/json", "json"),
        ("application/json;charset=utf-8, */*;q=0.1", "json"),
    ],
)
def test_metadata_is_xml_unless_json_is_preferred(accept: str, kind: str, client: Client) -> None:
    answer = client.get("$metadata", accept=accept)
    assert answer.headers["Content-Type"] == f"application/{kind}"
    assert client.get("$metadata").headers["Content-Type"] == "application/xml"
    for name in ("xml", "application/xml"):
        answer = client.get("$metadata", ("$format", name), accept=accept)
        assert answer.headers["Content-Type"] == "application/xml"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json, application/xml;q=0.1", "xml"),
        ("application/json, */*;q=0.1", "xml"),
        ("application/json", "json"),
        ("application/json, application/xml;q=0", "json"),
    ],
)
def test_metadata_for_a_client_of_4_0_is_xml_if_it_accepts_xml(
    accept: str, kind: str, client: Client
) -> None:
    of_4_0 = {"accept": accept, "odata-maxversion": "4.0"}
    assert client.get("$metadata", **of_4_0).headers["Content-Type"] == f"application/{kind}"
    asked = client.get("$metadata", ("$format", "json"), **of_4_0)
    assert asked.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", ["text/html", "application/json;x=y", "application/xml;q=0"])
def test_metadata_in_another_format_is_not_acceptable(accept: str, client: Client) -> None:
    with pytest.raises(NotAcceptableError):
        client.get("$metadata", accept=accept)
    with pytest.raises(NotAcceptableError):
        client.get("$metadata", ("$format", "atom"))
