"""Parse the resource path into an entity set, a condition on it, and the kind of result.

The service does not walk ``PointRecords(…)/logs`` from the first entity: the path means the logs
whose point has that key. So every path is one entity set with a condition, and query options apply
to it as to any set. URL Conventions 4.01, section 4.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from urllib.parse import unquote

from chalicelib.errors import InvalidError, NotFoundError, NotImplementedByServiceError
from chalicelib.odata.ast import (
    TRUE,
    Column,
    Comparison,
    Instance,
    Literal,
    LogicalOperation,
    NavigationStep,
    Node,
    Quantifier,
    Variable,
)
from chalicelib.odata.edm import Edm
from chalicelib.odata.language.earlier_versions import advice_on_literal, advice_on_segment
from chalicelib.odata.language.literals import GUID, NUMBER, read_as
from chalicelib.odata.model import ENTITY_SETS, EntityType, Navigation, Property
from chalicelib.principal import Principal

# Builds the conditions that a path imposes on an entity.
Conditions = Callable[[Instance], tuple[Node, ...]]


class Kind(Enum):
    """The kind of result that a path requests."""

    COLLECTION = "collection"
    ENTITY = "entity"
    COUNT = "count"
    PROPERTY = "property"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Resource:
    """The resource that a path identifies, limited to what ``principal`` may read.

    Attributes:
        conditions: the conditions of the path on each entity.
        known: the columns that the keys in the path determine, with their values.
        parent: the entity at which a navigation starts; without it, the resource does not exist.
        is_reference: ``/$ref``: return only the ids of entities.
    """

    path: str
    entity: EntityType
    kind: Kind
    principal: Principal
    conditions: Conditions = lambda _: ()
    known: Mapping[str, Literal] = field(default_factory=dict)
    parent: "Resource | None" = None
    member: Property | None = None
    is_reference: bool = False


_SEGMENT = re.compile(
    r"(?P<name>\$?[^\W\d]\w{0,127}(?:\.[^\W\d]\w{0,127})*)(?:\((?P<key>.*)\))?", re.DOTALL
)
_NAMED_KEY = re.compile(r"\s*(?P<name>[^\W\d]\w*)\s*=(?P<value>.*)", re.DOTALL)
_KEY_FORMS = {
    Edm.GUID: re.compile(GUID),
    Edm.INT32: re.compile(NUMBER),
    Edm.INT64: re.compile(NUMBER),
}
_UNSUPPORTED_ROOTS = ("$entity", "$all", "$crossjoin")
_UNSUPPORTED = ("$each", "$query", "$filter")
_MAX_SEGMENTS = 10


def segments_of(path: str) -> list[str]:
    """Split a path, percent-encoded or not, into its decoded segments.

    Slashes may be encoded too, because a route has fewer segments than a path. Keys contain none.

    Raises:
        InvalidError: the path is not valid UTF-8. Nothing in the model has a replacement character.
    """
    decoded = unquote(path)
    if "\ufffd" in decoded:
        raise InvalidError("The path is not valid UTF-8.", target="path")
    return [each for each in decoded.split("/") if each]


def read_resource(
    segments: list[str], aliases: Mapping[str, str], principal: Principal
) -> Resource:
    """Return the resource that the segments of a path identify. Keys may be parameter aliases.

    Raises:
        NotFoundError: the model does not have a name.
        InvalidError: a key does not have the type of the entity's key.
        NotImplementedByServiceError: the path is legal, but the service does not support it.
    """
    if len(segments) > _MAX_SEGMENTS:
        raise InvalidError(f"A path may have at most {_MAX_SEGMENTS} segments.", target="path")
    first, *rest = (_split(each) for each in segments)
    name, key = first
    if name in _UNSUPPORTED_ROOTS:
        raise NotImplementedByServiceError(f"{name} is not supported.", target=name)
    entity = ENTITY_SETS.get(name)
    if entity is None:
        raise _not_found(name)
    own = Resource(name, entity, Kind.COLLECTION, principal, _own_records(entity, principal))
    resource = _with_key(own, key, aliases)
    for name, key in rest:
        resource = _with_key(_step(resource, name), key, aliases)
    return resource


def _split(segment: str) -> tuple[str, str | None]:
    match = _SEGMENT.fullmatch(segment)
    if match is None:
        raise _not_found(segment)
    return match["name"], match["key"]


def _step(resource: Resource, name: str) -> Resource:
    """Return the resource one segment further on."""
    path = f"{resource.path}/{name}"
    if name in _UNSUPPORTED:
        raise NotImplementedByServiceError(f"/{name} in a path is not supported.", target=name)
    if resource.is_reference:
        raise _not_found(path, name)
    if name == "$ref" and resource.kind in (Kind.COLLECTION, Kind.ENTITY):
        return replace(resource, path=path, is_reference=True)
    if name == resource.entity.qualified_name and resource.kind in (Kind.COLLECTION, Kind.ENTITY):
        return resource  # a cast to the declared type is a no-op: section 4.11
    if name == "$count" and resource.kind is Kind.COLLECTION:
        return replace(resource, path=path, kind=Kind.COUNT)
    if name == "$value" and resource.kind is Kind.PROPERTY:
        return replace(resource, path=path, kind=Kind.VALUE)
    if name == "$value" and resource.kind is Kind.ENTITY:  # Protocol 4.01, section 11.2.4
        raise InvalidError(
            f"{resource.entity.name} is no media entity, so it has no $value. Read the entity, or"
            " the $value of a property.",
            target=name,
        )
    member = resource.entity.by_name.get(name) if resource.kind is Kind.ENTITY else None
    if isinstance(member, Property):
        return replace(resource, path=path, kind=Kind.PROPERTY, member=member)
    if isinstance(member, Navigation):
        kind = Kind.COLLECTION if member.collection else Kind.ENTITY
        value = resource.known.get(member.column)
        known = {} if value is None else {member.target_column: value}
        conditions = _related_to(resource, member, known)
        return Resource(path, member.target, kind, resource.principal, conditions, known, resource)
    raise _not_found(path, name)


def _own_records(entity: EntityType, principal: Principal) -> Conditions:
    """Build the conditions that every record of a restricted principal meets.

    ``Translator.source`` already enforces them. The repetition lets an index sort the records.
    """
    bounds = dict(principal.bounds)
    fixed = [
        (each, Literal(each.type, bounds[each.column]))
        for each in entity.properties
        if each.column in bounds
    ]
    return lambda it: tuple(Comparison("eq", Column(it, each), value) for each, value in fixed)


def _related_to(
    resource: Resource, navigation: Navigation, known: Mapping[str, Literal]
) -> Conditions:
    """Translate the conditions on a parent to conditions on the entities related to it.

    The ``known`` columns of these entities are repeated as conditions of their own: an index finds
    the few entities of the path, and nothing is evaluated on others.
    """
    inverse = navigation.inverse

    def conditions(instance: Instance) -> tuple[Node, ...]:
        has_known = _equal(instance, known)
        if not inverse.collection:
            return (*has_known, *resource.conditions(NavigationStep(instance, inverse)))
        origin = Variable(inverse.target)
        of_parent = LogicalOperation("and", (TRUE, *resource.conditions(origin)))
        return (*has_known, Quantifier("any", instance, inverse, origin, of_parent))

    return conditions


def _with_key(resource: Resource, key: str | None, aliases: Mapping[str, str]) -> Resource:
    """Restrict a collection to the entity with a key; without a key, return it unchanged."""
    if key is None:
        return resource
    if resource.kind is not Kind.COLLECTION or resource.is_reference:
        raise _not_found(f"{resource.path}({key})", key)
    values = _read_key(resource, key, aliases)

    key_columns = {each.column: value for each, value in values.items()}

    def conditions(instance: Instance) -> tuple[Node, ...]:
        return (*resource.conditions(instance), *_equal(instance, key_columns))

    path = f"{resource.path}({_key_predicate(values)})"
    known = {**resource.known, **key_columns}
    return replace(resource, path=path, kind=Kind.ENTITY, conditions=conditions, known=known)


def _equal(instance: Instance, columns: Mapping[str, Literal]) -> tuple[Node, ...]:
    """Return the conditions that an entity has these values in its columns."""
    return tuple(
        Comparison("eq", Column(instance, each), columns[each.column])
        for each in instance.entity.properties
        if each.column in columns
    )


def _key_predicate(values: Mapping[Property, Literal]) -> str:
    """Return a key as it stands in a path: with names if it has several properties."""
    if len(values) == 1:
        (literal,) = values.values()
        return str(literal.value)
    return ",".join(f"{each.name}={literal.value}" for each, literal in values.items())


def _read_key(resource: Resource, key: str, aliases: Mapping[str, str]) -> dict[Property, Literal]:
    """Read a key: ``7``, ``id=7``, or ``pointId=…,number=7`` in any order.

    After a navigation, what the parent determines may be left out: URL Conventions 4.01, section
    4.3.2.
    """
    entity = resource.entity
    implied = _implied_by_parent(resource)
    if "=" not in key:
        required = [each for each in entity.key if each not in implied]
        if len(required) != 1:
            names = ",".join(f"{each.name}=…" for each in entity.key)
            raise InvalidError(
                f"The key of {entity.name} has several properties. Write {names}.",
                target=entity.key[0].name,
            )
        return {required[0]: _read_literal(entity, required[0], key, aliases)}
    texts: dict[str, str] = {}
    for part in key.split(","):
        named = _NAMED_KEY.fullmatch(part)
        name = named["name"] if named else part.strip()
        if not named or name in texts or name not in (each.name for each in entity.key):
            names = ", ".join(each.name for each in entity.key)
            raise InvalidError(
                f"The key of {entity.name} is {names}, each once, not {name[:100]}.",
                target=entity.key[0].name,
            )
        texts[name] = named["value"]
    for each in entity.key:
        if each.name not in texts and each not in implied:
            raise InvalidError(
                f"The key of {entity.name} needs {each.name} as well.", target=each.name
            )
    return {
        each: _read_literal(entity, each, texts[each.name], aliases)
        for each in entity.key
        if each.name in texts
    }


def _implied_by_parent(resource: Resource) -> list[Property]:
    """Return the properties of the key that are equal to the key of the navigation's start."""
    if resource.parent is None:
        return []
    links = (each for each in resource.parent.entity.navigations if each.collection)
    columns = {each.target_column for each in links if each.target is resource.entity}
    return [each for each in resource.entity.key if each.column in columns]


def _read_literal(
    entity: EntityType, prop: Property, text: str, aliases: Mapping[str, str]
) -> Literal:
    text = text.strip()
    if text.startswith("@"):
        text = aliases.get(text[1:], "null").strip()
    try:
        if not _KEY_FORMS[prop.type].fullmatch(text):
            raise ValueError("is not a literal of the key's type")
        return Literal(prop.type, read_as(prop.type, text))
    except ValueError as error:
        sentence = advice_on_literal(text)
        advice = f" {sentence}." if sentence else ""
        raise InvalidError(
            f"The key {prop.name} of {entity.name} must be an {prop.type} literal, not"
            f" {text[:100]}.{advice}",
            target=prop.name,
        ) from error


def _not_found(path: str, name: str | None = None) -> NotFoundError:
    """Build the error for a path that the model does not define."""
    advice = advice_on_segment(name or path)
    more = f" {advice}." if advice else ""
    return NotFoundError(
        f"The resource {path[:200]} does not exist.{more}", target=(name or path)[:200]
    )
