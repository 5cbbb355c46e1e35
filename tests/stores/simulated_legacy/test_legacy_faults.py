"""The faults of the simulated legacy."""

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
