"""The adaptive limiter keeps its bounds, whatever the results and the clock are."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.limiter import adaptive

MAX_WAIT_S = 300.0

EVENT = st.one_of(
    st.tuples(st.just("start")),
    st.tuples(st.just("result"), st.booleans(), st.floats(), st.integers(0, 2_000)),
    st.tuples(st.just("refused"), st.floats(), st.integers(0, 2_000)),
    st.tuples(st.just("retry"), st.floats()),
    st.tuples(st.just("clock"), st.floats(-1e6, 1e6)),
    st.tuples(st.just("round"), st.booleans(), st.floats(0.001, 20), st.integers(1, 60)),
)


@pytest.mark.slow
@given(st.lists(EVENT, max_size=80), st.sampled_from([1.0, 6.0, 50.0, 1_000.0]))
def test_limit_and_wait_stay_within_bounds(events: list[tuple[Any, ...]], max_limit: float) -> None:
    now = 0.0
    limiter = adaptive(lambda: now, max_limit=max_limit)
    for kind, *values in events:
        if kind == "start":
            limiter.on_start()
        elif kind == "result":
            limiter.on_result(*values)
        elif kind == "refused":
            limiter.on_refused(*values)
        elif kind == "retry":
            limiter.on_retry_after(values[0])
        elif kind == "clock":
            now += values[0]
        else:
            ok, latency_s, calls = values
            for _ in range(calls):
                limiter.on_start()
            now += latency_s
            for _ in range(calls):
                limiter.on_result(ok, latency_s, calls)
        assert 1 <= limiter.limit <= max_limit
        assert not math.isnan(limiter.not_before)
        assert limiter.not_before <= now + MAX_WAIT_S
    snapshot = json.loads(json.dumps(limiter.snapshot(), allow_nan=False))
    successor = adaptive(lambda: 0.0, max_limit=max_limit)
    successor.restore(snapshot)
    assert 1 <= successor.limit <= max_limit
    assert successor.not_before <= MAX_WAIT_S
