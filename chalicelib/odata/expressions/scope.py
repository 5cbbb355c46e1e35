"""What the names in an expression mean, where it stands. URL Conventions 4.01, section 5.1.1.14."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.odata.ast import Computed, Variable


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: ``it`` is ``$it``, ``this`` is what a name without a prefix belongs to.

    ``variables`` are those of lambdas, ``computed`` what ``$compute`` adds to an entity. ``homes``
    are what names in the value of an alias belong to, where that is not ``it``. ``spoken_of``
    gathers the entities but ``this`` that names were found to belong to. ``max_computed`` bounds
    the tokens that computed properties may bring into one expression. ``depth`` is how many
    collections it is within.
    """

    it: Variable
    this: Variable
    variables: Mapping[str, Variable]
    computed: Mapping[Variable, Mapping[str, Computed]] = field(default_factory=dict)
    homes: Mapping[str, Variable] = field(default_factory=dict)
    spoken_of: set[Variable] = field(default_factory=set)
    max_computed: int = 0
    depth: int = 0

    @classmethod
    def of(cls, it: Variable) -> "Scope":
        return cls(it, it, {})

    def home(self, source: str) -> Variable:
        """Return what a name in an option, or in the value of an alias, belongs to.

        Protocol 4.01, section 11.2.6.1.3: values are of the resource where they are assigned.
        """
        return self.homes.get(source[1:], self.it) if source.startswith("@") else self.this
