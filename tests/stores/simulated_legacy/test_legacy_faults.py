"""The faults of the simulated legacy."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests

from tests.support.simulated_legacy import LegacyProcess, is_listening
from tests.support.waiting import wait_until


def test_error_rate_answers_500_and_does_not_accept_the_record(legacy: LegacyProcess) -> None:
    legacy.set(error_rate=1)

    assert legacy.send().status_code == 500
    assert legacy.accepted_ids() == []


def test_record_with_a_lost_response_is_accepted(legacy: LegacyProcess) -> None:
    legacy.set(lost_reply_rate=1)

    with pytest.raises(requests.ConnectionError):
        legacy.send("a")
    assert legacy.accepted_ids() == ["a"]
    assert legacy.report()["by_status"] == {"lost": 1}


def test_hanging_call_ends_with_a_reset_and_its_record_is_not_accepted(
    legacy: LegacyProcess,
) -> None:
    legacy.set(hang_rate=1, hang_s=0.2)

    with pytest.raises(requests.ConnectionError):
        legacy.send("a")
    assert legacy.accepted_ids() == []
    assert legacy.report()["by_status"] == {"hung": 1}


def test_same_seed_repeats_the_same_faults(legacy: LegacyProcess) -> None:
    def statuses(seed: int) -> list[int]:
        legacy.set(error_rate=0.5, seed=seed)
        return [legacy.send().status_code for _ in range(20)]

    assert statuses(5) == statuses(5)
    assert statuses(5) != statuses(6)


def test_brown_out_begins_and_ends(legacy: LegacyProcess) -> None:
    legacy.set(brown_out={"every_s": 0.2, "for_s": 0.1, "fault": "500"})

    assert legacy.send().status_code == 200
    wait_until(lambda: legacy.send().status_code == 500)
    wait_until(lambda: legacy.send().status_code == 200)


def test_outage_without_a_duration_lasts_until_it_is_changed(legacy: LegacyProcess) -> None:
    legacy.set(outage={"fault": "503"})
    assert legacy.send().status_code == 503

    legacy.set(outage={"fault": "reset"})
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        legacy.send()

    legacy.set(outage={"fault": "hang"})
    with pytest.raises(requests.ReadTimeout):
        legacy.send(timeout=0.1)

    legacy.set(outage=None)
    assert legacy.send().status_code == 200


@pytest.mark.parametrize("status", [302, 404, 409, 423, 502, 503, 504])
def test_outage_may_have_any_status_of_a_gateway(legacy: LegacyProcess, status: int) -> None:
    legacy.set(outage={"fault": str(status)})
    assert legacy.send().status_code == status


def test_outage_with_a_duration_ends(legacy: LegacyProcess) -> None:
    legacy.set(outage={"fault": "503", "for_s": 0.1})

    assert legacy.send().status_code == 503
    wait_until(lambda: legacy.send().status_code == 200)


def test_refusing_outage_closes_the_port_and_reopens_it(legacy: LegacyProcess) -> None:
    with requests.Session() as kept:
        kept.get(f"{legacy.url}/report", timeout=10)
        legacy.set(outage={"fault": "refuse", "for_s": 0.5})
        with pytest.raises(requests.ConnectionError, match="refused"):
            legacy.send()
        with pytest.raises(requests.ConnectionError):
            kept.get(f"{legacy.url}/report", timeout=10)
    wait_until(lambda: is_listening(legacy))
    assert legacy.send().status_code == 200


def test_connection_that_began_a_refusing_outage_can_end_it(legacy: LegacyProcess) -> None:
    with requests.Session() as kept:
        outage = {"fault": "refuse", "for_s": 3_600}
        kept.put(f"{legacy.url}/settings", json={"outage": outage}, timeout=10)
        assert not is_listening(legacy)
        kept.put(f"{legacy.url}/settings", json={"outage": None}, timeout=10)
    assert legacy.send().status_code == 200


def test_outage_may_tell_when_to_try_again(legacy: LegacyProcess) -> None:
    legacy.set(outage={"fault": "503", "retry_after_s": 300})
    response = legacy.send()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "300")


def test_same_records_are_refused_again_and_again(legacy: LegacyProcess) -> None:
    def refused(share: float) -> set[str]:
        legacy.set(refused_share=share)
        statuses = {f"r{n}": legacy.send(f"r{n}").status_code for n in range(100)}
        assert set(statuses.values()) == {200, 422}
        return {record_id for record_id, status in statuses.items() if status == 422}

    some = refused(0.3)
    assert 15 < len(some) < 45
    assert refused(0.3) == some
    assert refused(0.6) > some
    assert not set(legacy.accepted_ids()) & some
    legacy.set(refused_share=1)
    assert legacy.send().status_code == 422


def test_key_in_progress_gets_409_until_its_first_call_has_ended(legacy: LegacyProcess) -> None:
    legacy.set(conflict_in_progress=True, latency_ms=500, distribution="constant")
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(legacy.send, "a")
        wait_until(lambda: legacy.report()["in_flight"] == 1)
        legacy.set(latency_ms=0)
        conflict = legacy.send("a")
        assert conflict.status_code == 409
        assert "in progress" in json.loads(conflict.text)["message"]
        assert legacy.send("b").status_code == 200
        assert first.result().status_code == 200
    assert legacy.send("a").status_code == 200
    assert legacy.report()["duplicates"] == 1


def test_key_stays_in_progress_after_its_client_is_gone(legacy: LegacyProcess) -> None:
    legacy.set(conflict_in_progress=True, latency_ms=500, distribution="constant")
    with pytest.raises(requests.ReadTimeout):
        legacy.send("a", timeout=0.1)
    assert legacy.send("a").status_code == 409
    wait_until(lambda: legacy.accepted_ids() == ["a"])
    assert legacy.send("a").status_code == 200


@pytest.mark.parametrize("ahead_s", [60.0, -3_600.0])
def test_clock_that_is_off_dates_responses_and_retry_after(
    legacy: LegacyProcess, ahead_s: float
) -> None:
    def offset_s(response: requests.Response, header: str) -> float:
        at = parsedate_to_datetime(response.headers[header])
        return (at - datetime.now(UTC)).total_seconds()

    legacy.set(
        clock_ahead_s=ahead_s,
        rate_limit={"per_s": 0.001, "burst": 1, "retry_after_s": 7, "retry_after": "date"},
    )
    assert offset_s(legacy.send(), "Date") == pytest.approx(ahead_s, abs=3)
    limited = legacy.send()
    assert limited.status_code == 429
    assert offset_s(limited, "Date") == pytest.approx(ahead_s, abs=3)
    assert offset_s(limited, "Retry-After") == pytest.approx(ahead_s + 7, abs=3)
