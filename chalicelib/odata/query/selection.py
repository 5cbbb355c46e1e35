"""``$select``: which properties an answer has. URL Conventions 4.01, section 5.1.4."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from chalicelib.errors import InvalidError
from chalicelib.odata.ast import ComputedProperty
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import NAMESPACE, EntityType, Navigation, Property


@dataclass(frozen=True, slots=True)
class Selection:
    """The properties to write, in the model's order, and what the context URL says of them.

    ``names`` are None where there is no ``$select``. ``inner`` are the selections of what single
    navigations lead to, as in ``point/status``.
    """

    properties: tuple[Property, ...]
    names: tuple[str, ...] | None
    computed: tuple[ComputedProperty, ...] = ()
    navigations: tuple[Navigation, ...] = ()
    inner: Mapping[Navigation, list[Span]] = field(default_factory=dict)

    @property
    def context(self) -> str:
        return "" if self.names is None else f"({','.join(self.names)})"


def read_selection(text: str | None, entity: EntityType) -> Selection:
    """Read ``$select``; all properties where there is none.

    Raises:
        InvalidError: a name is none of the entity's.
        NotImplementedByServiceError: an item is one that the service does not have.
    """
    items = None if text is None else Span.of(text, "$select").split(",")
    return selection_of(items, entity, ())


def selection_of(
    items: Sequence[Span] | None, entity: EntityType, computed: Collection[ComputedProperty]
) -> Selection:
    """Return what items of ``$select`` choose from an entity and what is computed of it."""
    if items is None:
        return Selection(entity.properties, None, tuple(computed), entity.navigations)
    names: set[str] = set()
    known = [*entity.by_name, *(each.name for each in computed)]
    inner: dict[Navigation, list[Span]] = {}
    for item in items:
        name, navigation, rest = _read(item, entity, known)
        if navigation and rest:
            inner.setdefault(navigation, []).append(rest)
        else:
            names.add(name)
    everything = "*" in names
    members: list[Property | ComputedProperty] = [*entity.properties, *computed]
    chosen = [each for each in members if everything or each.name in names]
    navigations = tuple(each for each in entity.navigations if each.name in names)
    shown = ["*"] if everything else []
    shown += [
        each.name
        for each in chosen
        if not everything or (isinstance(each, ComputedProperty) and each.name in names)
    ]
    return Selection(
        tuple(each for each in chosen if isinstance(each, Property)),
        (*shown, *(each.name for each in navigations)),
        tuple(each for each in chosen if isinstance(each, ComputedProperty)),
        navigations,
        inner,
    )


def _read(
    item: Span, entity: EntityType, known: Collection[str]
) -> tuple[str, Navigation | None, Span | None]:
    """Return the name that an item chooses; or a navigation, and what it chooses behind it."""
    text = item.text
    if not text:
        raise syntax_error("The name of a property is missing", item.at)
    if "@" in text:
        raise unsupported("Annotations in $select are not supported", item.at)
    if "(" in text:
        raise syntax_error(
            f"{text.partition('(')[0][:100]} takes no options here: those of a navigation stand in"
            " $expand",
            item.at,
        )
    first, slash, _ = text.partition("/")
    start = item.start
    if slash and entity.is_named(first):
        start += len(first) + 1  # a cast to the type that it has anyway
        first, slash, _ = item.whole[start : item.end].partition("/")
    rest = item.part(start + len(first) + 1, item.end) if slash else None
    if not slash and first in ("*", f"{NAMESPACE}.*"):
        return first, None, None  # of the schema's operations, none
    if first not in known:
        raise _unknown(first, entity, item)
    if rest is None:
        return first, None, None
    member = entity.by_name.get(first)
    if not isinstance(member, Navigation):
        raise syntax_error(f"/{rest.text[:100]} cannot follow in {text[:200]}", item.at)
    if member.collection:
        raise syntax_error(
            f"{first} is a collection: its properties are selected in $expand, as in"
            f" $expand={first}($select={rest.text[:100]})",
            item.at,
        )
    return first, member, rest


def _unknown(name: str, entity: EntityType, item: Span) -> InvalidError:
    if "." in name:
        return syntax_error(f"There is no action or function {name[:100]}", item.at)
    return syntax_error(f"{entity.name} has no property {name[:100]}", item.at)
