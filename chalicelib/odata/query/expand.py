"""The paths of ``$expand``, and which options each kind of them takes.

URL Conventions 4.01, section 5.1.3; OData ABNF 4.01, rules expandPath and expandOption.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.odata.language.expand_items import NESTED_OPTIONS, ExpandItem, too_deep
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType, Navigation
from chalicelib.odata.query.projection import Form

_OF_COUNT = frozenset({"$filter", "$search"})
_OF_REFERENCES = _OF_COUNT | {"$orderby", "$skip", "$top", "$count"}
_OF_ONE = frozenset({"$compute", "$expand", "$levels", "$select"})
_LEVELS = re.compile(r"[1-9][0-9]{0,8}|(?i:max)")


@dataclass(frozen=True, slots=True)
class ExpandPath:
    """What an item expands: one navigation, or (None) all that no other item names."""

    navigation: Navigation | None
    form: Form
    item: ExpandItem


def read_paths(items: Sequence[ExpandItem], entity: EntityType) -> list[ExpandPath]:
    """Read the paths of all items, and require that each takes its options and is there once."""
    paths: list[ExpandPath] = []
    for item in items:
        path = _read(item, entity)
        if path.navigation in (each.navigation for each in paths):
            name = path.navigation.name if path.navigation else "*"
            raise syntax_error(f"{name} is expanded twice", item.path.at)
        _require_options(path)
        paths.append(path)
    return paths


def levels_of(path: ExpandPath, depth: int, max_depth: int) -> int | None:
    """Return how many levels an item goes, or None for as many as there are (``max``)."""
    option = path.item.options.get("$levels")
    if option is None:
        return 1
    if not _LEVELS.fullmatch(option.text):
        raise syntax_error("$levels is a number from 1 on, or max", option.at)
    if option.text.lower() == "max":
        return None
    if depth + int(option.text) - 1 > max_depth:
        raise too_deep(max_depth, option.at)
    return int(option.text)


def _read(item: ExpandItem, entity: EntityType) -> ExpandPath:
    path = item.path
    first, *rest = segments = path.text.split("/")
    if rest and entity.is_named(first):
        first, *rest = rest  # a cast to the type that it has anyway
    if any(each.startswith("@") for each in segments):
        raise unsupported("Annotations in $expand are not supported", path.at)
    if first == "$value":
        raise syntax_error(f"{entity.name} has no media stream", path.at)
    if first == "*":
        form = Form.REFERENCES if rest == ["$ref"] else Form.ENTITIES
        if rest not in ([], ["$ref"]):
            raise _cannot_follow(rest, path)
        return ExpandPath(None, form, item)
    member = entity.by_name.get(first)
    if not isinstance(member, Navigation):
        raise syntax_error(f"{entity.name} has no navigation property {first[:100]}", path.at)
    if rest and member.target.is_named(rest[0]):
        rest = rest[1:]
    forms = {each.value.removeprefix("/"): each for each in Form}
    form_name, *too_much = rest or [""]
    if form_name not in forms or too_much or (rest and not form_name):
        raise _cannot_follow(rest, path)
    if forms[form_name] is Form.COUNT and not member.collection:
        raise syntax_error(f"{first} is one entity, which is not counted", path.at)
    return ExpandPath(member, forms[form_name], item)


def _cannot_follow(rest: Sequence[str], path: Span) -> Exception:
    return syntax_error(
        f"/{'/'.join(rest)[:100]} cannot follow in $expand: what is related further is nested, as"
        " in logs($expand=point)",
        path.at,
    )


def _require_options(path: ExpandPath) -> None:
    """Refuse the options that the kind of item does not take."""
    item, form = path.item, path.form
    one = path.navigation is not None and not path.navigation.collection
    allowed = NESTED_OPTIONS
    if path.navigation is None:
        allowed = frozenset({"$levels"} if form is Form.ENTITIES else ())
    elif form is Form.COUNT:
        allowed = _OF_COUNT
    elif form is Form.REFERENCES:
        allowed = frozenset() if one else _OF_REFERENCES
    elif one:
        allowed = _OF_ONE
    for name, option in item.options.items():
        if name not in allowed:
            raise syntax_error(f"{name} is not for {item.path.text[:100]} in $expand", option.at)
    if item.aliases and (path.navigation is None or form is not Form.ENTITIES):
        raise syntax_error(f"{item.path.text[:100]} in $expand takes no aliases", item.path.at)
