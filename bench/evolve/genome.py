"""A set of parameters as a point of the unit cube: one gene for each field that declares bounds.

A parameter whose bounds are a factor of four or more apart is measured on a logarithmic scale, for
there a step means a factor; whole numbers are rounded.
"""

import math
import random
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

Genes = tuple[float, ...]
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Gene:
    """One parameter and its safe bounds."""

    name: str
    low: float
    high: float
    whole: bool

    @property
    def logarithmic(self) -> bool:
        return self.low > 0 and self.high >= 4 * self.low

    def value(self, place: float) -> float:
        """Return the parameter's value at a place from 0 to 1."""
        if self.logarithmic:
            found = self.low * (self.high / self.low) ** place
        else:
            found = self.low + (self.high - self.low) * place
        found = min(self.high, max(self.low, found))
        return round(found) if self.whole else float(f"{found:.6g}")

    def place(self, value: float) -> float:
        """Return the place of a value; the nearest one, if it is out of bounds."""
        value = min(self.high, max(self.low, value))
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class Genome:
    """The genes of a dataclass of parameters."""

    def __init__(self, start: Any) -> None:
        """Take the fields of ``start`` that declare ``low`` and ``high``; the others stay."""
        self._start = start
        self.genes = tuple(
            Gene(each.name, each.metadata["low"], each.metadata["high"], each.type is int)
            for each in fields(start)
            if "low" in each.metadata
        )

    def encode(self, parameters: Any) -> Genes:
        return tuple(gene.place(getattr(parameters, gene.name)) for gene in self.genes)

    def decode(self, genes: Genes) -> Any:
        values = {
            gene.name: gene.value(place) for gene, place in zip(self.genes, genes, strict=True)
        }
        return replace(self._start, **values)


def mutate(genes: Genes, step: float, share: float, chance: random.Random) -> Genes:
    """Change a share of the genes, one at least, by normal steps of deviation ``step``.

    What would leave the cube is reflected at its walls.
    """
    certain = chance.randrange(len(genes))
    return tuple(
        reflect(place + chance.gauss(0, step))
        if at == certain or chance.random() < share
        else reflect(place)
        for at, place in enumerate(genes)
    )


def reflect(place: float) -> float:
    return 1 - abs(1 - abs(place) % 2)
