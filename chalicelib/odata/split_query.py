"""Rejoin the query options that API Gateway has split at semicolons.

API Gateway takes an unencoded ``;`` in a query string for a separator, like ``&``:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
So ``$expand=logs($select=id;$top=2)`` arrives as ``$expand=logs($select=id`` and ``$top=2)``, among
the other options and in any order. An encoded one (``%3B``) arrives as part of its value.

Invariant: a query that conforms to the OData ABNF is restored as it was sent, or it is a 400. The
order of the pieces proves nothing, so there must be exactly one way to join them. Each piece must
stand in parentheses that accept its name and do not have it yet.

Exception: a custom option that has the name of a parameter of ``$format``
(``_is_format_parameter``) is joined to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import perm

from chalicelib.errors import InvalidError
from chalicelib.odata.language.option_names import OF_COUNT, OF_REFERENCES
from chalicelib.odata.language.option_piece import (
    ALL_OPTIONS,
    IN_PARENTHESES,
    Pair,
    Piece,
    depth_after,
    option_name,
)
from chalicelib.odata.media_types import FORMAT_PARAMETERS

_NONE: frozenset[str] = frozenset()
# Every order of so many pieces is tried: 120, of so many parentheses and semicolons.
_MAX_PIECES = 5
_MAX_MARKS = 500


def rejoin(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the decoded options of a query string as they were before it was split.

    Raises:
        InvalidError: options were split, and there is not exactly one way to join them.
    """
    pairs = _with_format_parameters(pairs)
    pieces = [Piece.of(index, *pair) for index, pair in enumerate(pairs)]
    broken = [each for each in pieces if not each.is_whole]
    named = sorted((each for each in broken if each.option), key=lambda each: not each.is_open)
    # One piece alone was not split: its parenthesis or quote is missing. The parser says where.
    if not named or len(broken) < 2:
        return list(pairs)
    whole = [each for each in pieces if each.is_whole and each.option]
    found = None
    ways = 0
    for chains in _orders(broken):
        skeleton = _Skeleton.of(chains)
        added = skeleton.ways(whole) if skeleton else 0
        found = skeleton if added else found
        ways += added
        if ways > 1:
            break
    if found is None or ways != 1:
        raise _cannot_join(str(named[0].option))
    joined = {each.index: each.pair for each in pieces} | found.joined(whole)
    return [pair for pair in joined.values() if pair is not None]


def _with_format_parameters(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Return the parameters of a media type in ``$format`` to it: they are not options."""
    formats = [pair for pair in pairs if option_name(pair[0]) == "$format"]
    if len(formats) != 1:
        return pairs
    parameters = [pair for pair in pairs if _is_format_parameter(pair[0], formats[0][1])]
    if not parameters:
        return pairs
    if len({name.strip().lower() for name, _ in parameters}) < len(parameters):
        raise _cannot_join("$format")
    [(name, media_type)] = formats
    value = ";".join([media_type, *("=".join(pair) for pair in parameters)])
    return [*(pair for pair in pairs if pair not in (*formats, *parameters)), (name, value)]


def _is_format_parameter(name: str, media_type: str) -> bool:
    """Return whether an option belongs to the media type in ``$format``.

    A name with ``odata.`` always does. The other names do only beside a type with a slash, because
    ``json`` takes no parameters.
    """
    lower = name.strip().lower()
    return lower.startswith("odata.") or ("/" in media_type and lower in FORMAT_PARAMETERS)


def _cannot_join(name: str) -> InvalidError:
    return InvalidError(
        f"{name[:100]} contains a semicolon, at which API Gateway splits a query string, or a"
        " parenthesis or quote in it is not closed. Write ; as %3B, or send the request in a $batch"
        " or as POST …/$query.",
        target=name[:100],
    )


def _orders(broken: Sequence[Piece]) -> list[list[list[Piece]]]:
    """Return every order of the pieces in which parentheses are balanced, as chains.

    A chain is what was one option. It ends where its parentheses are closed.
    """
    count = sum(len(each.marks or ()) for each in broken)
    if (
        len(broken) > _MAX_PIECES
        or count > _MAX_MARKS
        or any(each.marks is None or each.option is None or not each.pair[1] for each in broken)
    ):
        return []
    orders = []
    for order in permutations(range(len(broken))):
        chains: list[list[Piece]] = []
        first, depth = -1, 0
        for index in order:
            if depth == 0:
                if index < first:  # the same chains in another order
                    break
                first = index
                chains.append([])
            chains[-1].append(broken[index])
            after = depth_after(broken[index].marks, depth)
            if after is None:
                break
            depth = after
        else:
            if depth == 0:
                orders.append(chains)
    return orders


class _Group:
    """The options in one pair of parentheses, or at the top: their names."""

    def __init__(self, accepted: frozenset[str] = ALL_OPTIONS) -> None:
        self.accepted = accepted
        self.names: set[str] = set()

    def accepts(self, name: str) -> bool:
        """Return whether the grammar allows an option of this name, and there is none yet."""
        known = "@" if name.startswith("@") else name
        return known in self.accepted and name not in self.names

    def add(self, name: str) -> bool:
        """Add an option; return False if the grammar does not allow it."""
        is_accepted = self.accepts(name)
        self.names.add(name)
        return is_accepted


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """Broken pieces in an order that the grammar allows, without the whole ones in between.

    Attributes:
        chains: the pieces that were one option each.
        top: the options outside parentheses.
        places: where whole pieces may stand: before which piece, and in which group.
    """

    chains: Sequence[Sequence[Piece]]
    top: _Group
    places: Sequence[tuple[Piece, _Group]]

    @classmethod
    def of(cls, chains: Sequence[Sequence[Piece]]) -> "_Skeleton | None":
        top = _Group()
        places: dict[int, tuple[Piece, _Group]] = {}
        for pieces in chains:
            opened = [top]
            for piece in pieces:
                if opened[-1] is not top:
                    places.setdefault(id(opened[-1]), (piece, opened[-1]))
                if not _add(opened, piece):
                    return None
        return cls(chains, top, list(places.values()))

    def ways(self, whole: Sequence[Piece]) -> int:
        """Return in how many ways the whole pieces may stand at the top and in the places."""
        ways = 1
        for name in {str(each.option) for each in whole}:
            count = sum(each.option == name for each in whole)
            ways *= perm(len(self._homes(name)), count)
        return ways

    def _homes(self, name: str) -> list[tuple[Piece | None, _Group]]:
        homes = [(None, self.top), *self.places]
        return [each for each in homes if each[1].accepts(name)]

    def joined(self, whole: Sequence[Piece]) -> dict[int, Pair | None]:
        """Return what replaces each piece, by its index; None for a piece that is part of another.

        There must be one way to place the whole pieces.
        """
        replaced: dict[int, Pair | None] = {}
        before: dict[int, list[str]] = {}
        for each in whole:
            [(successor, _)] = self._homes(str(each.option))
            if successor is not None:
                before.setdefault(successor.index, []).append(each.text)
                replaced[each.index] = None
        for first, *rest in self.chains:
            texts = [first.pair[1]]
            for each in rest:
                texts += [*before.get(each.index, ()), each.text]
                replaced[each.index] = None
            replaced[first.index] = (first.pair[0], ";".join(texts))
        return replaced


def _add(opened: list[_Group], piece: Piece) -> bool:
    """Read a piece: open and close groups. Return whether the grammar allows its options there."""
    if not opened[-1].add(str(piece.option)):
        return False
    for mark in piece.marks or ():
        option = mark.option
        if mark.kind == ")":
            opened.pop()
            continue
        if mark.kind == "(":
            # Parentheses of a function or of an expression contain no options.
            is_options = option is not None and (option in IN_PARENTHESES or option.startswith("@"))
            opened.append(_Group(_accepted(piece.pair[1][: mark.at]) if is_options else _NONE))
            option = option if is_options else None
        if option is not None and not opened[-1].add(option):
            return False
    return True


def _accepted(before: str) -> frozenset[str]:
    """Return the options that the grammar allows in the parentheses after a path."""
    if before.endswith("$count"):
        return OF_COUNT
    return OF_REFERENCES if before.endswith("$ref") else IN_PARENTHESES
