"""The failure share: how often calls for good records fail, and what that explains."""

import json
import math
import random
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.failure_share import FailureShare


def after_deliveries(share: float, deliveries: int, seed: int = 1) -> FailureShare:
    """Return what is known after deliveries by a legacy that fails a share of all calls."""
    rng = random.Random(seed)
    known = FailureShare()
    for _ in range(deliveries):
        known.on_delivered(sum(1 for _ in takewhile(lambda _: rng.random() < share, iter(int, 1))))
    return known


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_share_is_that_of_the_legacy_and_rather_too_high(share: float) -> None:
    known = after_deliveries(share, 2_000)
    assert share * 0.85 <= known.value <= share + 0.25
    assert known.value < 1


def test_without_a_failure_nothing_is_explained() -> None:
    assert not FailureShare().explains(1)
    assert not after_deliveries(0.0, 100).explains(1)


def test_first_failure_may_be_the_first_of_many() -> None:
    known = after_deliveries(0.0, 10)
    known.on_delivered(1)
    assert 0.15 < known.value < 0.2


@pytest.mark.parametrize(("share", "attempts"), [(0.01, 5), (0.1, 8), (0.3, 15), (0.5, 26)])
def test_failures_in_a_row_are_explained_while_a_good_record_may_have_them(
    share: float, attempts: int
) -> None:
    known = after_deliveries(share, 5_000)
    assert known.explains(attempts - 2)
    assert not known.explains(attempts * 2)


def test_legacy_that_begins_to_fail_is_noticed_within_few_deliveries() -> None:
    known = after_deliveries(0.0, 10_000)
    for _ in range(5):
        known.on_delivered(1)
    assert known.value >= 0.15


def test_legacy_that_is_repaired_is_forgiven() -> None:
    known = after_deliveries(0.5, 5_000)
    for _ in range(5_000):
        known.on_delivered(0)
    assert known.value < 0.001


@given(st.lists(st.integers(0, 1_000), max_size=50))
def test_snapshot_survives_json(attempts: list[int]) -> None:
    known, restored = FailureShare(), FailureShare()
    for each in attempts:
        known.on_delivered(each)
    assert 0 <= known.value <= 1
    restored.restore(json.loads(json.dumps(known.snapshot())))
    assert restored.value == known.value


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=8,
)
PAIR = st.lists(st.floats(), min_size=2, max_size=2)


@given(JSON | st.lists(PAIR, min_size=2, max_size=2))
def test_malformed_snapshot_is_ignored(snapshot: object) -> None:
    known = FailureShare()
    known.restore(snapshot)
    for _ in range(3):
        known.on_delivered(1)
        assert 0 <= known.value <= 1
        assert math.isfinite(known.value)
