"""``$select``: the properties that a response contains. URL Conventions 4.01, section 5.1.4."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from chalicelib.errors import InvalidError
from chalicelib.odata.ast import ComputedProperty
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import NAMESPACE, EntityType, Navigation, Property


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected properties, in the order of the model.

    Attributes:
        names: the select list of the context URL; None without ``$select``.
        navigations: the navigation properties whose links full metadata includes.
        inner: the selected properties of related entities, as in ``point/status``.
    """

    properties: tuple[Property, ...]
    names: tuple[str, ...] | None
    computed: tuple[ComputedProperty, ...] = ()
    navigations: tuple[Navigation, ...] = ()
    inner: Mapping[Navigation, list[Span]] = field(default_factory=dict)

    @property
    def context(self) -> str:
        """The select list of the context URL, in parentheses."""
        return "" if self.names is None else f"({','.join(self.names)})"


def parse_selection(text: str | None, entity: EntityType) -> Selection:
    """Parse ``$select``; without it, select all properties.

    Raises:
        InvalidError: the entity does not have a selected property.
        NotImplementedByServiceError: an item is an annotation.
    """
    items = None if text is None else Span.of(text, "$select").split(",")
    return selection_of(items, entity, ())


def selection_of(
    items: Sequence[Span] | None, entity: EntityType, computed: Collection[ComputedProperty]
) -> Selection:
    """Return what the items of ``$select`` select of an entity and its computed properties."""
    if items is None:
        return Selection(entity.properties, None, tuple(computed), entity.navigations)
    names: set[str] = set()
    known = [*entity.by_name, *(each.name for each in computed)]
    inner: dict[Navigation, list[Span]] = {}
    for item in items:
        name, navigation, rest = _parse_item(item, entity, known)
        if navigation and rest:
            inner.setdefault(navigation, []).append(rest)
        else:
            names.add(name)
    everything = "*" in names
    members: list[Property | ComputedProperty] = [*entity.properties, *computed]
    selected = [each for each in members if everything or each.name in names]
    navigations = tuple(each for each in entity.navigations if each.name in names)
    select_list = ["*"] if everything else []
    select_list += [
        each.name
        for each in selected
        if not everything or (isinstance(each, ComputedProperty) and each.name in names)
    ]
    return Selection(
        tuple(each for each in selected if isinstance(each, Property)),
        (*select_list, *(each.name for each in navigations)),
        tuple(each for each in selected if isinstance(each, ComputedProperty)),
        navigations,
        inner,
    )


def _parse_item(
    item: Span, entity: EntityType, known: Collection[str]
) -> tuple[str, Navigation | None, Span | None]:
    """Return the selected name; for a path, also its navigation and the rest of the path."""
    text = item.text
    if not text:
        raise syntax_error("The name of a property is missing", item.at)
    if "@" in text:
        raise unsupported("Annotations in $select are not supported", item.at)
    if "(" in text:
        raise syntax_error(
            f"{text.partition('(')[0][:100]} in $select does not accept nested options; use $expand"
            " for the options of a navigation property",
            item.at,
        )
    first, slash, _ = text.partition("/")
    start = item.start
    if slash and entity.is_named(first):
        start += len(first) + 1  # a cast to the declared type is a no-op
        first, slash, _ = item.whole[start : item.end].partition("/")
    rest = item.part(start + len(first) + 1, item.end) if slash else None
    if not slash and first in ("*", f"{NAMESPACE}.*"):
        return first, None, None  # the latter selects all operations, and the schema has none
    if first not in known:
        raise _unknown(first, entity, item)
    if rest is None:
        return first, None, None
    member = entity.by_name.get(first)
    if not isinstance(member, Navigation):
        raise syntax_error(f"/{rest.text[:100]} cannot follow in {text[:200]}", item.at)
    if member.collection:
        raise syntax_error(
            f"{first} is a collection; select its properties in $expand, as in"
            f" $expand={first}($select={rest.text[:100]})",
            item.at,
        )
    return first, member, rest


def _unknown(name: str, entity: EntityType, item: Span) -> InvalidError:
    if "." in name:
        return syntax_error(f"The action or function {name[:100]} does not exist", item.at)
    return syntax_error(f"{entity.name} has no property {name[:100]}", item.at)
