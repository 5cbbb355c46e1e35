"""Parse the paths of ``$expand``, and check which nested options each kind of path accepts.

URL Conventions 4.01, section 5.1.3; OData ABNF 4.01, rules expandPath and expandOption.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chalicelib.odata.language.expand_items import ExpandItem, too_deep
from chalicelib.odata.language.option_names import NESTED, OF_COUNT, OF_REFERENCES
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType, Navigation
from chalicelib.odata.query.projection import ExpandForm

_SINGLE_ENTITY_OPTIONS = frozenset({"$compute", "$expand", "$levels", "$select"})
# In which items of one navigation property may differ.
_MERGED_OPTIONS = ("$select", "$expand")
_LEVELS = re.compile(r"[1-9][0-9]{0,8}|(?i:max)")


@dataclass(frozen=True, slots=True)
class ExpandPath:
    """The target of an item of ``$expand``.

    ``navigation`` is None for ``*``: all navigation properties that no other item names.
    """

    navigation: Navigation | None
    form: ExpandForm
    item: ExpandItem


def parse_expand_paths(items: Sequence[ExpandItem], entity: EntityType) -> list[ExpandPath]:
    """Parse the paths of all items.

    Raises:
        InvalidError: a path is invalid, occurs twice and cannot be merged, or does not accept an
            option of its item.
        NotImplementedByServiceError: a path is an annotation.
    """
    paths: list[ExpandPath] = []
    for item in items:
        path = _parse_path(item, entity)
        _require_accepted_options(path)
        same = next((each for each in paths if each.navigation == path.navigation), None)
        if same is None:
            paths.append(path)
        elif _may_be_merged(same, path):
            paths[paths.index(same)] = replace(same, item=_merged(same.item, item))
        else:
            name = path.navigation.name if path.navigation else "*"
            raise syntax_error(
                f"{name} is expanded more than once, with other options than $select and $expand",
                item.path.at,
            )
    return paths


def _may_be_merged(one: ExpandPath, other: ExpandPath) -> bool:
    """Return whether two items select different properties of the same entities.

    The standard allows one item. LINQ providers write one for each property.
    """
    if one.navigation is None or {one.form, other.form} != {ExpandForm.ENTITIES}:
        return False

    def texts(item: ExpandItem) -> tuple[dict[str, str], dict[str, str]]:
        options = {name: span.text for name, span in item.options.items()}
        return options, {name: span.text for name, span in item.aliases.items()}

    (options, aliases), (other_options, other_aliases) = texts(one.item), texts(other.item)
    is_repeated = options == other_options and "$select" not in options
    if is_repeated or aliases != other_aliases:
        return False
    for name in _MERGED_OPTIONS:
        options.pop(name, None), other_options.pop(name, None)
    return options == other_options


def _merged(one: ExpandItem, other: ExpandItem) -> ExpandItem:
    """Return the item that selects and expands what either does; without $select, everything."""
    options = {**one.options, **other.options}
    for name in _MERGED_OPTIONS:
        texts = [each.options[name].text for each in (one, other) if name in each.options]
        if len(texts) == 2:
            options[name] = Span.of(",".join(texts), name)
        elif texts and name == "$select":
            del options[name]
    return replace(one, options=options, items=(*one.items, *other.items))


def levels_of(path: ExpandPath, depth: int, max_depth: int) -> int | None:
    """Return the number of levels that an item expands, or None for ``max``."""
    option = path.item.options.get("$levels")
    if option is None:
        return 1
    if not _LEVELS.fullmatch(option.text):
        raise syntax_error("$levels must be a positive integer or max", option.at)
    if option.text.lower() == "max":
        return None
    if depth + int(option.text) - 1 > max_depth:
        raise too_deep(max_depth, option.at)
    return int(option.text)


def _parse_path(item: ExpandItem, entity: EntityType) -> ExpandPath:
    path = item.path
    first, *rest = segments = path.text.split("/")
    if rest and entity.is_named(first):
        first, *rest = rest  # a cast to the declared type is a no-op
    if any(each.startswith("@") for each in segments):
        raise unsupported("Annotations in $expand are not supported", path.at)
    if first == "$value":
        raise syntax_error(f"{entity.name} has no media stream", path.at)
    if first == "*":
        form = ExpandForm.REFERENCES if rest == ["$ref"] else ExpandForm.ENTITIES
        if rest not in ([], ["$ref"]):
            raise _cannot_follow(rest, path)
        return ExpandPath(None, form, item)
    member = entity.by_name.get(first)
    if not isinstance(member, Navigation):
        raise syntax_error(f"{entity.name} has no navigation property {first[:100]}", path.at)
    if rest and member.target.is_named(rest[0]):
        rest = rest[1:]
    forms = {each.value.removeprefix("/"): each for each in ExpandForm}
    form_name, *excess = rest or [""]
    if form_name not in forms or excess or (rest and not form_name):
        raise _cannot_follow(rest, path)
    if forms[form_name] is ExpandForm.COUNT and not member.collection:
        raise syntax_error(
            f"{first} is a single entity: only a collection may be followed by /$count", path.at
        )
    return ExpandPath(member, forms[form_name], item)


def _cannot_follow(rest: Sequence[str], path: Span) -> Exception:
    return syntax_error(
        f"/{'/'.join(rest)[:100]} cannot follow in $expand; use nested options instead, as in"
        " logs($expand=point)",
        path.at,
    )


def _require_accepted_options(path: ExpandPath) -> None:
    """Reject the options and aliases that this kind of path does not accept."""
    item, form = path.item, path.form
    is_single = path.navigation is not None and not path.navigation.collection
    accepted = NESTED
    if path.navigation is None:
        accepted = frozenset({"$levels"} if form is ExpandForm.ENTITIES else ())
    elif form is ExpandForm.COUNT:
        accepted = OF_COUNT
    elif form is ExpandForm.REFERENCES:
        accepted = frozenset() if is_single else OF_REFERENCES
    elif is_single:
        accepted = _SINGLE_ENTITY_OPTIONS
    for name, option in item.options.items():
        if name not in accepted:
            raise syntax_error(
                f"{item.path.text[:100]} in $expand does not accept {name}", option.at
            )
    if item.aliases and (path.navigation is None or form is not ExpandForm.ENTITIES):
        raise syntax_error(
            f"{item.path.text[:100]} in $expand does not accept parameter aliases", item.path.at
        )
