"""The projection of an entity: its stored and computed properties, and its expansions.

A projection is independent of formats and URLs. ``sql.entity_json`` translates it to SQL.
"""

from dataclasses import dataclass
from enum import Enum

from chalicelib.odata.ast import ComputedProperty, Node, OrderKey, Variable
from chalicelib.odata.model import Navigation, Property


class ExpandForm(Enum):
    """The form of expanded entities: in full, as references (``/$ref``), or as a count."""

    ENTITIES = ""
    REFERENCES = "/$ref"
    COUNT = "/$count"


@dataclass(frozen=True, slots=True)
class Projection:
    """What the response contains of each entity that ``it`` stands for.

    Attributes:
        links: the navigation properties whose links full metadata includes.
        selected: the names in ``$select``, as in the context URL; None without ``$select``.
        is_reference: the response contains only the id.
    """

    it: Variable
    properties: tuple[Property, ...]
    computed: tuple[ComputedProperty, ...] = ()
    links: tuple[Navigation, ...] = ()
    selected: tuple[str, ...] | None = None
    expansions: tuple["Expansion", ...] = ()
    is_reference: bool = False

    def context(self, version: str) -> str:
        """Return the select list of the context URL: Protocol 4.01, sections 10.7 to 10.10.

        In 4.0, the list names an expansion only if the expansion has a select list of its own.
        """
        names = list(self.selected or ())
        for each in self.expansions:
            if each.form is ExpandForm.ENTITIES:
                inner = each.projection.context(version)
                if inner or version != "4.0":
                    names.append(f"{each.navigation.name}{inner or '()'}")
        return f"({','.join(names)})" if names or self.selected is not None else ""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Related entities: which ones, in which order, and the projection of each.

    ``options`` are the query options of the nextLink. They are None if an expression refers to an
    entity outside the expansion: the nextLink could not express it, so the expansion has one page.
    """

    navigation: Navigation
    form: ExpandForm
    projection: Projection
    conditions: tuple[Node, ...] = ()
    order: tuple[OrderKey, ...] = ()
    skip: int = 0
    top: int | None = None
    with_count: bool = False
    options: tuple[tuple[str, str], ...] | None = None
