"""Encode parameters as a point of the unit cube: one gene for each field that declares bounds.

A parameter whose bounds are a factor of four or more apart has a logarithmic scale: a step of a
mutation is then a factor. Integers are rounded.
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
    is_integer: bool

    @property
    def logarithmic(self) -> bool:
        """Return whether the scale is logarithmic."""
        return self.low > 0 and self.high >= 4 * self.low

    def value(self, position: float) -> float:
        """Return the parameter's value at a gene's position from 0 to 1."""
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** position
        else:
            value = self.low + (self.high - self.low) * position
        value = min(self.high, max(self.low, value))
        return round(value) if self.is_integer else float(f"{value:.6g}")

    def position(self, value: float) -> float:
        """Return the position of a value, or of the nearest bound."""
        value = min(self.high, max(self.low, value))
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class Genome:
    """The genes of a dataclass of parameters."""

    def __init__(self, start: Any) -> None:
        """Use the fields of ``start`` that declare bounds; the others keep their value."""
        self._start = start
        self.genes = tuple(
            Gene(each.name, each.metadata["low"], each.metadata["high"], each.type is int)
            for each in fields(start)
            if "low" in each.metadata
        )

    def encode(self, parameters: Any) -> Genes:
        """Return the genes of parameters."""
        return tuple(gene.position(getattr(parameters, gene.name)) for gene in self.genes)

    def decode(self, genes: Genes) -> Any:
        """Return the parameters that genes encode."""
        values = {
            gene.name: gene.value(position)
            for gene, position in zip(self.genes, genes, strict=True)
        }
        return replace(self._start, **values)


def mutate(genes: Genes, step: float, share: float, rng: random.Random) -> Genes:
    """Change a share of the genes, at least one, by normal steps of standard deviation ``step``.

    A step out of the cube is reflected at its wall.
    """
    always = rng.randrange(len(genes))
    return tuple(
        reflect(position + rng.gauss(0, step))
        if at == always or rng.random() < share
        else reflect(position)
        for at, position in enumerate(genes)
    )


def reflect(position: float) -> float:
    """Reflect a position at 0 and 1 until it is within them."""
    return 1 - abs(1 - abs(position) % 2)
