"""The speed of the simulated legacy: workers, queue, latencies and rate limit."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

import pytest
import requests

from local.legacy.capacity import TokenBucket, work_s
from local.legacy.settings import LegacySettings, RateLimit, change
from tests.support.simulated_legacy import LegacyProcess, reset_connections
from tests.support.waiting import wait_until


def test_call_beyond_workers_and_queue_gets_503(legacy: LegacyProcess) -> None:
    legacy.set(workers=1, queue=1, latency_ms=60_000, distribution="constant")
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(legacy.send, "working")
        wait_until(lambda: legacy.report()["in_flight"] == 1)
        waiting = threads.submit(legacy.send, "waiting")
        wait_until(lambda: legacy.report()["in_flight"] == 2)
        assert legacy.send("beyond").status_code == 503

        legacy.set(workers=2, latency_ms=0)  # the new worker takes the queued call
        assert waiting.result().status_code == 200
        assert not working.done()
        reset_connections(legacy)
        assert isinstance(working.exception(), requests.ConnectionError)


def test_throughput_does_not_exceed_the_capacity_of_the_workers(legacy: LegacyProcess) -> None:
    legacy.set(workers=4, queue=100, latency_ms=20, distribution="constant")
    started = time.monotonic()
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: legacy.send(), range(60)))

    elapsed_s = time.monotonic() - started
    assert elapsed_s >= 60 / 4 * 0.020
    assert 4 < legacy.report()["most_in_flight"] <= 12


def test_work_continues_after_the_client_disconnects(legacy: LegacyProcess) -> None:
    legacy.set(latency_ms=300, distribution="constant")
    with pytest.raises(requests.ReadTimeout):
        legacy.send("a", timeout=0.1)

    wait_until(lambda: legacy.report()["by_status"] == {"gone": 1})
    wait_until(lambda: legacy.accepted_ids() == ["a"])


@pytest.mark.parametrize("distribution", ["constant", "exponential", "lognormal", "pareto"])
def test_median_duration_of_the_work_is_as_set(distribution: str) -> None:
    settings = change(LegacySettings(), {"latency_ms": 80, "distribution": distribution})
    random = Random(7)
    drawn = [work_s(settings, 1, random) for _ in range(20_000)]

    assert statistics.median(drawn) == pytest.approx(0.080, rel=0.03)
    assert (len(set(drawn)) == 1) == (distribution == "constant")


def test_duration_of_the_work_has_the_maximum_that_is_set() -> None:
    body = {"distribution": "pareto", "pareto_alpha": 0.5, "latency_max_ms": 900}
    settings = change(LegacySettings(), body)
    random = Random(7)

    assert max(work_s(settings, 1, random) for _ in range(1_000)) == 0.9


def test_throughput_under_collapse_peaks_and_falls() -> None:
    body = {"distribution": "constant", "collapse": {"alpha": 0.02, "beta": 0.0015}}
    settings = change(LegacySettings(), body)

    throughput = {n: n / work_s(settings, n, Random()) for n in range(1, 201)}

    assert max(throughput, key=throughput.__getitem__) == 26  # sqrt((1 - 0.02) / 0.0015) = 25.6
    assert throughput[200] < throughput[26] / 3


def test_rate_limit_admits_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(RateLimit(per_s=2, burst=3), now=100.0)

    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(at) for at in (100.4, 100.5, 100.6, 101.0)] == [False, True, False, True]
    assert [bucket.take(200.0) for _ in range(4)] == [True, True, True, False]


def test_call_beyond_the_rate_gets_429_with_retry_after(legacy: LegacyProcess) -> None:
    limit = {"per_s": 0.001, "burst": 1, "retry_after_s": 7}
    legacy.set(rate_limit=limit)
    legacy.send()
    response = legacy.send()
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")

    legacy.set(rate_limit={**limit, "retry_after": "date"})
    assert legacy.send().status_code == 200  # a new rate limit begins with a full bucket
    due = parsedate_to_datetime(legacy.send().headers["Retry-After"])
    assert 4 <= (due - datetime.now(UTC)).total_seconds() <= 7
