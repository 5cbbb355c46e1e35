"""What ``GET /health`` tells operators of the last minute, and of why something waits."""

from typing import Any

from tests.conftest import SimulatedLegacy
from tests.pipeline.test_replay import park
from tests.support.service import Service


def replica(service: Service) -> dict[str, Any]:
    health: dict[str, Any] = service.get("/health").json_body
    return health["replica"]


def test_health_has_the_numbers_of_the_last_minute_and_the_last_delivery(
    service: Service, legacy: SimulatedLegacy
) -> None:
    empty = replica(service)
    assert empty["lastMinute"] == {"accepted": 0, "replicated": 0, "delivered": 0}
    assert [empty[name] for name in ("lastDeliveredAt", "failingSince", "lastFailure")] == [
        None
    ] * 3
    service.accept([1, 2])
    service.replicate()
    service.integrate()
    service.accept([3])
    service.replicate()
    service.accept([4])
    health = service.get("/health").json_body
    assert health["replica"]["lastMinute"] == {"accepted": 3, "replicated": 3, "delivered": 2}
    assert health["buffer"]["acceptedLastMinute"] == 1
    assert health["replica"]["lastDeliveredAt"]
    assert health["replica"]["failingSince"] is None
    service.rows(
        "UPDATE point_record SET created_at = created_at - interval '2 minutes', replicated_at ="
        " replicated_at - interval '2 minutes', integrated_at = integrated_at - interval"
        " '2 minutes' RETURNING id"
    )
    assert replica(service)["lastMinute"] == {"accepted": 0, "replicated": 0, "delivered": 0}


def test_health_has_the_last_failure_and_since_when_calls_fail(
    service: Service, legacy: SimulatedLegacy
) -> None:
    service.accept([1])
    service.replicate()
    service.integrate()
    legacy.set(outage={"fault": "503"})
    service.accept(range(2, 6))
    service.replicate()
    service.integrate()
    failing = replica(service)
    assert failing["failingSince"] > failing["lastDeliveredAt"]
    assert failing["lastFailure"]["httpStatus"] == 503
    assert failing["lastFailure"]["log"].startswith("HTTP 503")
    assert failing["lastParked"] is None


def test_health_has_why_the_last_record_was_parked(service: Service) -> None:
    park(service, range(1, 3))
    parked = replica(service)["lastParked"]
    assert (parked["httpStatus"], parked["log"]) == (422, "HTTP 422: unknown")
