"""What of each entity is written: properties, computed ones, and related entities expanded into it.

A view says nothing of formats and URLs; ``written`` makes SQL of it.
"""

from dataclasses import dataclass
from enum import Enum

from chalicelib.odata.ast import ComputedProperty, Node, OrderKey, Variable
from chalicelib.odata.model import Navigation, Property


class Form(Enum):
    """How related entities are written: in full, as references (``/$ref``), or only counted."""

    ENTITIES = ""
    REFERENCES = "/$ref"
    COUNT = "/$count"


@dataclass(frozen=True, slots=True)
class View:
    """What is written of each entity that ``it`` stands for.

    ``links`` are the navigations whose links full metadata writes. ``selected`` are the names of a
    ``$select``, as the context URL has them; None without one. Of a reference, only its id is
    written.
    """

    it: Variable
    properties: tuple[Property, ...]
    computed: tuple[ComputedProperty, ...] = ()
    links: tuple[Navigation, ...] = ()
    selected: tuple[str, ...] | None = None
    expansions: tuple["Expansion", ...] = ()
    is_reference: bool = False

    def context(self, version: str) -> str:
        """Return what the context URL says of the view. Protocol 4.01, sections 10.7 to 10.10.

        To a client of 4.0 an expansion is named only where it has a selection of its own.
        """
        names = list(self.selected or ())
        for each in self.expansions:
            if each.form is Form.ENTITIES:
                inner = each.view.context(version)
                if inner or version != "4.0":
                    names.append(f"{each.navigation.name}{inner or '()'}")
        return f"({','.join(names)})" if names or self.selected is not None else ""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Related entities: which of them, in which order, and what of each.

    ``options`` are what the page after the first is asked for with. It is None where only the
    request itself has all that the options speak of: then there is no page but the whole.
    """

    navigation: Navigation
    form: Form
    view: View
    conditions: tuple[Node, ...] = ()
    order: tuple[OrderKey, ...] = ()
    skip: int = 0
    top: int | None = None
    with_count: bool = False
    options: tuple[tuple[str, str], ...] | None = None
