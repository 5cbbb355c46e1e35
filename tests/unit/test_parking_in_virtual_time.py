"""Who is parked: no good record by any outage, and every bad one in the end, in virtual time."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.point_record import Status
from tests.support.virtual_integration import Legacy, Row, World, integrate_until

pytestmark = pytest.mark.slow

LATENCY_S, WORKERS = 0.1, 20
HOUR_S = 3_600.0

FAILURES: dict[str, CallResult] = {
    "502": CallResult(Outcome.FAILED, 0.02, 502, "HTTP 502: bad gateway"),
    "404": CallResult(Outcome.REFUSED, 0.001, 404, "HTTP 404: no route"),
    "timeout": CallResult(Outcome.OVERLOADED, 10.0, log="No response", broke_off=True),
}
# What else may answer for a legacy that is away.
OUTAGES = FAILURES | {
    "504 after 10 s": CallResult(Outcome.FAILED, 10.0, 504, "HTTP 504: gateway timeout"),
    "503": CallResult(Outcome.OVERLOADED, 0.02, 503, "HTTP 503: down"),
    "302": CallResult(Outcome.FAILED, 0.02, 302, "HTTP 302: to the login page"),
    "reset": CallResult(Outcome.OVERLOADED, 0.001, log="No response", broke_off=True),
    "refused": CallResult(Outcome.OVERLOADED, 0.001, log="No response"),
}


def healthy(now: float, key: str, in_flight: int) -> CallResult:
    """A legacy with twenty workers and a queue of twenty; it refuses calls beyond both."""
    if in_flight > 2 * WORKERS:
        return CallResult(Outcome.OVERLOADED, 0.001, 503, "HTTP 503: busy")
    return CallResult(Outcome.DELIVERED, LATENCY_S * max(1.0, in_flight / WORKERS), 200)


def failing_at_random(share: float, failure: CallResult, since: float = 0.0) -> Legacy:
    rng = random.Random(1)
    return lambda now, key, in_flight: (
        failure if now >= since and rng.random() < share else healthy(now, key, in_flight)
    )


def refusing_bad_ones(failure: CallResult, others: Legacy = healthy) -> Legacy:
    return lambda now, key, in_flight: (
        failure if key.startswith("bad") else others(now, key, in_flight)
    )


def statuses(world: World, prefix: str) -> dict[Status, int]:
    return Counter(row.status for key, row in world.rows.items() if key.startswith(prefix))


@pytest.mark.parametrize(
    ("failure", "share"),
    [
        pytest.param("502", 0.1, marks=pytest.mark.soak),
        pytest.param("404", 0.3, marks=pytest.mark.soak),
        pytest.param("502", 0.5, marks=pytest.mark.soak),
        ("timeout", 0.3),
    ],
)
def test_legacy_that_fails_at_random_parks_no_good_record_and_every_bad_one(
    share: float, failure: str
) -> None:
    rows = {f"good{n}": Row(due_at=n / 2) for n in range(3_000)}
    rows |= {f"bad{n}": Row(due_at=n * 50.0) for n in range(20)}
    # The backoff of thirty attempts takes a day. Good records go on arriving.
    rows |= {f"later{n}": Row(due_at=1_500 + n * 120.0) for n in range(1_200)}
    legacy = failing_at_random(share, FAILURES[failure])
    world = World(refusing_bad_ones(FAILURES["404"], legacy), rows)
    integrate_until(world, 50 * HOUR_S)
    assert statuses(world, "good") == {Status.INTEGRATED: 3_000}
    assert statuses(world, "later") == {Status.INTEGRATED: 1_200}
    assert statuses(world, "bad") == {Status.REJECTED: 20}


@pytest.mark.parametrize("records", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_share_of_three_tenths_of_502_parks_no_good_record(records: int) -> None:
    rows = {f"good{n}": Row(due_at=n / 28) for n in range(records)}
    world = World(failing_at_random(0.3, FAILURES["502"]), rows)
    integrate_until(world, 10 * HOUR_S)
    assert world.counts() == {Status.INTEGRATED: records}
    assert max(row.attempts for row in rows.values()) >= 8  # it was tried


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(
    "per_minute", [1, *(pytest.param(n, marks=pytest.mark.soak) for n in (3, 10))]
)
def test_bad_record_among_sparse_good_ones_is_parked(per_minute: int, failure: str) -> None:
    rng = random.Random(5)
    rows = {f"good{n}": Row(rng.uniform(0, 12 * HOUR_S)) for n in range(12 * 60 * per_minute)}
    rows |= {f"bad{n}": Row(rng.uniform(0, HOUR_S)) for n in range(3)}
    world = World(refusing_bad_ones(FAILURES[failure]), rows)
    integrate_until(world, 12 * HOUR_S + 120)
    assert statuses(world, "bad") == {Status.REJECTED: 3}
    assert {row.attempts for key, row in rows.items() if key.startswith("good")} == {1}


@pytest.mark.parametrize(
    ("failure", "share"),
    [pytest.param("502", 0.1, marks=pytest.mark.soak), ("404", 0.1), ("404", 0.5)],
)
def test_share_of_bad_records_is_parked_after_the_least_number_of_attempts(
    share: float, failure: str
) -> None:
    rng = random.Random(5)
    rows = {
        f"{'bad' if rng.random() < share else 'good'}{n}": Row(due_at=n / 2) for n in range(3_000)
    }
    rows |= {f"later{n}": Row(due_at=1_500 + n * 2.0) for n in range(4_600)}
    world = World(refusing_bad_ones(FAILURES[failure]), rows)
    integrate_until(world, 3 * HOUR_S)
    assert set(statuses(world, "bad")) == {Status.REJECTED}
    assert set(statuses(world, "good")) == {Status.INTEGRATED}
    assert {row.attempts for key, row in rows.items() if key.startswith("bad")} == {8}


def test_suspects_at_the_head_of_the_queue_do_not_prolong_an_outage() -> None:
    """Each probe would be one of two hundred bad records, for hours."""
    bad = FAILURES["502"]
    refusing = refusing_bad_ones(bad)
    rows = {f"bad{n}": Row(due_at=0.0, status=Status.ERROR, attempts=1) for n in range(200)}
    rows |= {f"good{n}": Row(due_at=300.0 + n) for n in range(100)}
    world = World(
        lambda now, key, in_flight: bad if now < 300 else refusing(now, key, in_flight), rows
    )
    integrate_until(world, 480)
    assert statuses(world, "good") == {Status.INTEGRATED: 100}


@pytest.mark.parametrize(
    ("share", "per_s"),
    [
        pytest.param(0.3, 2.0, marks=pytest.mark.soak),
        (0.5, 0.2),
        (0.5, 2.0),
        pytest.param(0.5, 20.0, marks=pytest.mark.soak),
        pytest.param(0.7, 2.0, marks=pytest.mark.soak),
        pytest.param(0.8, 5.0, marks=pytest.mark.soak),
    ],
)
def test_many_refused_records_are_parked_in_minutes_and_delay_no_good_ones(
    share: float, per_s: float
) -> None:
    rng = random.Random(5)
    due = {
        f"{'bad' if rng.random() < share else 'good'}{n}": n / per_s
        for n in range(int(1_500 * per_s))
    }
    due |= {f"later{n}": 1_500 + n * 2.0 for n in range(600)}
    world = World(
        refusing_bad_ones(FAILURES["404"]), {key: Row(due_at=at) for key, at in due.items()}
    )
    integrate_until(world, 2_700)
    waits = {key: world.rows[key].settled_at - at for key, at in due.items()}
    assert statuses(world, "bad").keys() == {Status.REJECTED}
    assert max(wait for key, wait in waits.items() if key.startswith("bad")) <= 360
    good = sorted(wait for key, wait in waits.items() if not key.startswith("bad"))
    assert good[len(good) // 2] <= 0.5
    # A run may end just before a record arrives; the next tick is up to a minute later.
    assert good[int(0.99 * len(good))] <= 60


@settings(max_examples=10, deadline=None)
@given(
    failure=st.sampled_from(sorted(OUTAGES)),
    up_s=st.floats(1, 120),
    down_s=st.floats(1, 600),
    phase_s=st.floats(0, 720),
    per_s=st.sampled_from([0.02, 0.2, 0.5]),
    seed=st.integers(0, 1_000),
)
def test_legacy_that_is_up_and_down_in_turn_parks_no_record(
    failure: str, up_s: float, down_s: float, phase_s: float, per_s: float, seed: int
) -> None:
    rng = random.Random(seed)
    rows = {f"r{n}": Row(rng.uniform(0, HOUR_S)) for n in range(int(per_s * HOUR_S))}
    world = World(
        lambda now, key, in_flight: (
            OUTAGES[failure]
            if now < HOUR_S and (now + phase_s) % (up_s + down_s) >= up_s
            else healthy(now, key, in_flight)
        ),
        rows,
    )
    integrate_until(world, 6 * HOUR_S)
    assert world.counts() == {Status.INTEGRATED: len(rows)}


@settings(max_examples=10, deadline=None)
@given(
    failures=st.lists(
        st.tuples(st.sampled_from(sorted(OUTAGES)), st.floats(0, 1)), min_size=1, max_size=6
    ),
    change_s=st.floats(1, 900),
    per_s=st.sampled_from([0.02, 0.2, 1.0]),
    seed=st.integers(0, 1_000),
)
def test_changing_shares_of_failures_park_no_record(
    failures: list[tuple[str, float]], change_s: float, per_s: float, seed: int
) -> None:
    rng = random.Random(seed)
    rows = {f"r{n}": Row(rng.uniform(0, HOUR_S)) for n in range(int(per_s * HOUR_S))}

    def legacy(now: float, key: str, in_flight: int) -> CallResult:
        kind, share = failures[int(now / change_s) % len(failures)]
        if now < HOUR_S and rng.random() < share:
            return OUTAGES[kind]
        return healthy(now, key, in_flight)

    world = World(legacy, rows)
    integrate_until(world, 6 * HOUR_S)
    assert world.counts() == {Status.INTEGRATED: len(rows)}
