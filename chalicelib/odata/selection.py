"""``$select``: which properties an answer has. URL Conventions 4.01, section 5.1.4."""

from dataclasses import dataclass

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.model import EntityType, Navigation, Property


@dataclass(frozen=True, slots=True)
class Selection:
    """The properties to write, in the model's order, and what the context URL says of them."""

    properties: tuple[Property, ...]
    context: str


def read_selection(text: str | None, entity: EntityType) -> Selection:
    """Read ``$select``; all properties where there is none.

    Raises:
        InvalidError: a name is none of the entity's.
        NotImplementedByServiceError: an item is more than a name.
    """
    if text is None:
        return Selection(entity.properties, "")
    names = [each.strip() for each in text.split(",")]
    if "*" in names:
        _members(names, entity)
        return Selection(entity.properties, "(*)")
    members = _members(names, entity)
    properties = tuple(each for each in entity.properties if each in members)
    chosen = [each.name for each in (*properties, *entity.navigations) if each in members]
    return Selection(properties, f"({','.join(chosen)})")


def _members(names: list[str], entity: EntityType) -> set[Property | Navigation]:
    members = set()
    for name in names:
        if name == "*":
            continue
        member = entity.by_name.get(name)
        if member is None:
            if any(mark in name for mark in "(/.@"):
                raise NotImplementedByServiceError(
                    f"$select={name[:100]} is not supported: an item is the name of a property.",
                    target="$select",
                )
            raise InvalidError(f"{entity.name} has no property {name[:100]}.", target="$select")
        members.add(member)
    return members
