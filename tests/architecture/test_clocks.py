"""What outlives an invocation measures by the wall clock.

Lambda freezes an environment between invocations, and its monotonic clock may stop meanwhile: a
pause of a minute could then last for hours. Within one invocation, the monotonic clock is right.
"""

import ast

import pytest

from local.child_process import PROJECT

# Modules whose objects live for one run or one request only.
HAND_ON_THE_CLOCK = {"delete_pace.py", "integrator/run.py"}
KEEP_AN_INSTANT = {
    "dynamodb/kept_connections.py",  # the deadline of one request
    "integrator/call_thread.py",
    "integrator/transfers.py",
    "operations/audited_command.py",  # the start of one command
    "operator_route.py",  # the start of one request
    "replicator/replication.py",  # how long one run took
}
DEPLOYED = PROJECT / "chalicelib"
TREES = {
    str(path.relative_to(DEPLOYED)): ast.parse(path.read_text(encoding="utf-8"))
    for path in DEPLOYED.rglob("*.py")
}


def is_monotonic(node: ast.AST) -> bool:
    """Return whether a node names the clock: ``time.monotonic``, or ``monotonic`` if imported."""
    name = (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id
        if isinstance(node, ast.Name)
        else ""
    )
    return name in ("monotonic", "monotonic_ns")


def hands_on_the_clock(tree: ast.AST) -> bool:
    """Return whether a module uses the monotonic clock other than to call it, as by a default."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return any(is_monotonic(node) and id(node) not in called for node in ast.walk(tree))


def keeps_an_instant(tree: ast.Module) -> bool:
    """Return whether a module assigns an instant of the clock to an attribute, or to a global."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) or not node.value:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        outlives = node in tree.body or any(
            isinstance(part, ast.Attribute) for each in targets for part in ast.walk(each)
        )
        if outlives and any(is_monotonic(part) for part in ast.walk(node.value)):
            return True
    return False


def test_only_objects_of_one_run_are_given_a_monotonic_clock() -> None:
    assert {name for name, tree in TREES.items() if hands_on_the_clock(tree)} == HAND_ON_THE_CLOCK


def test_only_objects_of_one_run_or_request_keep_an_instant_of_the_monotonic_clock() -> None:
    keep = {name for name, tree in TREES.items() if keeps_an_instant(tree)}
    assert keep - HAND_ON_THE_CLOCK == KEEP_AN_INSTANT


@pytest.mark.parametrize(
    "source",
    [
        "def f(clock=time.monotonic): ...",
        "class A:\n    clock: Clock = time.monotonic",
        "Pause(clock=time.monotonic)",
        "from time import monotonic\nPause(monotonic)",
    ],
)
def test_a_clock_that_is_handed_on_is_found(source: str) -> None:
    assert hands_on_the_clock(ast.parse(source))
    assert not hands_on_the_clock(ast.parse("now = time.monotonic()"))


@pytest.mark.parametrize(
    "source",
    [
        "started = time.monotonic()",
        "class A:\n    def f(self):\n        self.until = 5 + time.monotonic()",
        "class A:\n    def f(self):\n        self.a, self.b = 1, time.monotonic()",
    ],
)
def test_an_instant_that_is_kept_is_found(source: str) -> None:
    assert keeps_an_instant(ast.parse(source))
    assert not keeps_an_instant(ast.parse("def f():\n    started = time.monotonic()"))
