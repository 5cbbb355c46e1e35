"""What can be set of the simulated legacy, and what is refused."""

import pytest
import requests

from chalicelib.errors import InvalidError
from local.legacy.settings import LegacySettings, change
from tests.support.simulated_legacy import Client


def test_settings_can_be_changed_in_part(legacy: Client) -> None:
    before = legacy.settings()
    answer = legacy.set(workers=7, collapse={"beta": 0.1})

    assert answer.json() == legacy.settings()
    assert legacy.settings() == {
        **before,
        "workers": 7,
        "collapse": {"alpha": 0.02, "beta": 0.1},
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 1.5),
        ("workers", True),
        ("workers", "3"),
        ("workers", None),
        ("error_rate", 1.1),
        ("distribution", "normal"),
        ("distribution", ["constant"]),
        ("speed", 1),
        ("rate_limit", 5),
        ("rate_limit.per_s", 0),
        ("rate_limit.retry_after", "soon"),
        ("brown_out", {"every_s": 1, "for_s": 2}),
        ("collapse.gamma", 1),
        ("outage.fault", "500"),
        ("outage", {"fault": "refuse"}),
        ("answer.status", 100),
        ("answer.body", 1),
        ("answer.reset", "yes"),
        ("answer.only_ids", [1]),
        ("answer.headers", {"A": 1}),
        ("answer", {"headers": {"A": "1\r\nB: 2"}}),
        ("answer", {"headers": {"A B": "1"}}),
        ("answer", {"headers": {"Content-Length": "1"}}),
    ],
)
def test_bad_setting_is_refused_by_name(name: str, value: object) -> None:
    outer, _, inner = name.partition(".")
    with pytest.raises(InvalidError, match=rf"^{name} \S+") as refusal:
        change(LegacySettings(), {outer: {inner: value} if inner else value})
    assert [each.target for each in refusal.value.details] == [name]


def test_refused_change_names_every_fault_and_changes_nothing(legacy: Client) -> None:
    before = legacy.settings()
    answer = legacy.set(workers=9, queue=-1, answer={"status": 1, "times": 0})

    assert answer.status_code == 400
    for name in ("queue", "answer.status", "answer.times"):
        assert name in answer.json()["message"]
    assert legacy.settings() == before


def test_settings_that_are_not_an_object_are_refused(legacy: Client) -> None:
    for body in (b"", b"[]", b"{"):
        assert requests.put(f"{legacy.url}/settings", body, timeout=10).status_code == 400
