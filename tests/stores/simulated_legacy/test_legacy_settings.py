"""The settings of the simulated legacy, and the errors of invalid ones."""

import pytest
import requests

from chalicelib.errors import InvalidError
from local.legacy.settings import LegacySettings, change
from tests.support.simulated_legacy import LegacyProcess


def test_change_keeps_the_settings_that_it_omits(legacy: LegacyProcess) -> None:
    before = legacy.settings()
    response = legacy.set(workers=7, collapse={"beta": 0.1})

    assert response.json() == legacy.settings()
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
        ("outage.retry_after_s", 1.5),
        ("refused_share", 2),
        ("conflict_in_progress", 1),
        ("clock_ahead_s", "1"),
        ("thread_per_connection.threads", 0),
        ("thread_per_connection.keep_alive_s", -1),
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
def test_error_names_the_invalid_setting(name: str, value: object) -> None:
    outer, _, inner = name.partition(".")
    with pytest.raises(InvalidError, match=rf"^{name} \S+") as error:
        change(LegacySettings(), {outer: {inner: value} if inner else value})
    assert [each.target for each in error.value.details] == [name]


def test_invalid_change_names_every_invalid_setting_and_changes_nothing(
    legacy: LegacyProcess,
) -> None:
    before = legacy.settings()
    response = legacy.set(workers=9, queue=-1, answer={"status": 1, "times": 0})

    assert response.status_code == 400
    for name in ("queue", "answer.status", "answer.times"):
        assert name in response.json()["message"]
    assert legacy.settings() == before


def test_settings_must_be_an_object(legacy: LegacyProcess) -> None:
    for body in (b"", b"[]", b"{"):
        assert requests.put(f"{legacy.url}/settings", body, timeout=10).status_code == 400
