"""The faults that the simulated legacy is told to have."""

import pytest
import requests

from tests.support.simulated_legacy import Client, is_open
from tests.support.waiting import wait_until


def test_share_of_errors_is_not_accepted(legacy: Client) -> None:
    legacy.set(error_rate=1)

    assert legacy.send().status_code == 500
    assert legacy.accepted_ids() == []


def test_lost_reply_is_accepted(legacy: Client) -> None:
    legacy.set(lost_reply_rate=1)

    with pytest.raises(requests.ConnectionError):
        legacy.send("a")
    assert legacy.accepted_ids() == ["a"]
    assert legacy.report()["by_status"] == {"lost": 1}


def test_hanging_call_is_dropped_in_the_end(legacy: Client) -> None:
    legacy.set(hang_rate=1, hang_s=0.2)

    with pytest.raises(requests.ConnectionError):
        legacy.send("a")
    assert legacy.accepted_ids() == []
    assert legacy.report()["by_status"] == {"hung": 1}


def test_same_seed_gives_the_same_faults(legacy: Client) -> None:
    def statuses(seed: int) -> list[int]:
        legacy.set(error_rate=0.5, seed=seed)
        return [legacy.send().status_code for _ in range(20)]

    assert statuses(5) == statuses(5)
    assert statuses(5) != statuses(6)


def test_brown_out_comes_and_goes(legacy: Client) -> None:
    legacy.set(brown_out={"every_s": 0.2, "for_s": 0.1, "fault": "500"})

    assert legacy.send().status_code == 200
    wait_until(lambda: legacy.send().status_code == 500)
    wait_until(lambda: legacy.send().status_code == 200)


def test_outage_lasts_until_it_is_changed(legacy: Client) -> None:
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


def test_outage_ends_by_itself(legacy: Client) -> None:
    legacy.set(outage={"fault": "503", "for_s": 0.1})

    assert legacy.send().status_code == 503
    wait_until(lambda: legacy.send().status_code == 200)


def test_refusing_outage_closes_the_port_and_opens_it_again(legacy: Client) -> None:
    with requests.Session() as kept:
        kept.get(f"{legacy.url}/report", timeout=10)
        legacy.set(outage={"fault": "refuse", "for_s": 0.5})
        with pytest.raises(requests.ConnectionError, match="refused"):
            legacy.send()
        with pytest.raises(requests.ConnectionError):
            kept.get(f"{legacy.url}/report", timeout=10)
    wait_until(lambda: is_open(legacy))
    assert legacy.send().status_code == 200


def test_refusing_outage_can_be_ended_by_the_connection_that_began_it(legacy: Client) -> None:
    with requests.Session() as kept:
        outage = {"fault": "refuse", "for_s": 3_600}
        kept.put(f"{legacy.url}/settings", json={"outage": outage}, timeout=10)
        assert not is_open(legacy)
        kept.put(f"{legacy.url}/settings", json={"outage": None}, timeout=10)
    assert legacy.send().status_code == 200
