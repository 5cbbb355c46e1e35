"""Tell whether an expression can fail: whether Postgres raises an error for some operands.

Postgres may evaluate the conditions of one SELECT in any order, and so on rows that another of them
removes. Statements keep conditions apart where that would be an error.
"""

from collections.abc import Iterable, Iterator

from chalicelib.odata.ast import (
    Call,
    Case,
    Cast,
    Column,
    Comparison,
    Count,
    Literal,
    LogicalOperation,
    Membership,
    NavigationStep,
    Negation,
    Node,
    Quantifier,
)
from chalicelib.odata.edm import Edm


def may_fail(*expressions: Node) -> bool:
    """Return whether one of the expressions can fail on some rows and not on others."""
    return any(
        _depends_on_row(node)
        for node in _nodes(*expressions)
        if (isinstance(node, Call) and node.may_fail) or _narrows(node)
    )


def navigation_steps(expression: Node) -> Iterable[NavigationStep]:
    """Return the navigations to one entity whose properties an expression uses.

    Those within a condition on related entities belong to that condition.
    """
    steps: dict[NavigationStep, None] = {}  # in an order that does not change
    nodes = [expression]
    while nodes:
        node = nodes.pop()
        if isinstance(node, Column):
            instance = node.instance
            while isinstance(instance, NavigationStep):
                steps[instance] = None
                instance = instance.origin
        elif not isinstance(node, Quantifier | Count):
            nodes += _operands(node)
    return steps


def _narrows(node: Node) -> bool:
    """Return whether a Decimal is converted to Double, whose range it can exceed.

    A literal is converted when it is read.
    """
    match node:
        case Comparison():
            decimals = [each for each in (node.left, node.right) if each.type is Edm.DECIMAL]
            is_mixed = Edm.DOUBLE in (node.left.type, node.right.type)
            return is_mixed and not all(isinstance(each, Literal) for each in decimals)
        case Membership():
            return (node.operand.type, node.type_of_values) == (Edm.DECIMAL, Edm.DOUBLE)
    return False


def _depends_on_row(expression: Node) -> bool:
    return any(isinstance(node, Column | Count | Quantifier) for node in _nodes(expression))


def _nodes(*expressions: Node) -> Iterator[Node]:
    """Yield the expressions and all nodes below them."""
    nodes = [*expressions]
    while nodes:
        node = nodes.pop()
        yield node
        nodes += _operands(node)


def _operands(node: Node) -> Iterable[Node]:
    match node:
        case Call():
            return node.arguments
        case Case():
            return (each for pair in node.pairs for each in pair)
        case Comparison():
            return (node.left, node.right)
        case LogicalOperation():
            return node.operands
        case Cast() | Membership() | Negation():
            return (node.operand,)
        case Quantifier() | Count():
            return (node.predicate,)
    return ()
