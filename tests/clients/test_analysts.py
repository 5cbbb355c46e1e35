"""The Python of docs/analysts.md, run against the service with an access key."""

import re

import pandas
import pytest
import requests

import app
from local.child_process import PROJECT
from tests.clients.conftest import PAGE, Stack
from tests.support.lambda_events import context
from tests.support.service import wired
from tests.support.tokens import OPERATOR, operator_event

EMPLOYEE = 7001
CLOCKS = ("08:00", "12:00", "13:00", "17:30")


@pytest.fixture(scope="module")
def key(empty_stack: Stack) -> str:
    """A key for the employer of the records."""
    with wired(empty_stack.variables):
        made = app.access_keys(operator_event(name="report", employerId=121), context())
    return str(made["key"])


def test_documented_python_reads_all_pages_and_groups_by_day(empty_stack: Stack, key: str) -> None:
    # Two local days, of four and of three punches; more records than a page has. The employees are
    # in two time zones, and one punch is on another day in UTC.
    punches = [
        {
            "employeeId": employee,
            "employerId": 121,
            "includedAt": f"2026-11-{day}T{clock}:00{offset}",
        }
        for employee, offset in ((EMPLOYEE, "-03:00"), (EMPLOYEE + 1, "+09:00"))
        for day, clocks in (("23", CLOCKS), ("24", (*CLOCKS[:2], "23:30")))
        for clock in clocks
    ]
    posted = requests.post(
        f"{empty_stack.url}/point-record", json=punches, headers=OPERATOR, timeout=30
    )
    assert {each["status"] for each in posted.json()} == {201}
    empty_stack.replicate()
    text = (PROJECT / "docs/analysts.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names = {"API": empty_stack.root, "KEY": key}
    for each in blocks:
        exec(compile(each, "docs/analysts.md", "exec"), names)  # noqa: S102

    read, per_day, hours = (names[name] for name in ("punches", "per_day", "hours"))
    assert isinstance(read, pandas.DataFrame)
    assert len(read) >= len(punches) > PAGE
    assert isinstance(per_day, pandas.DataFrame)
    own = per_day[per_day["employeeId"] == EMPLOYEE]
    assert [(row.localDate, int(row.punches), row.first, row.last) for row in own.itertuples()] == [
        ("2026-11-23", 4, "08:00:00", "17:30:00"),
        ("2026-11-24", 3, "08:00:00", "23:30:00"),
    ]
    other = per_day[per_day["employeeId"] == EMPLOYEE + 1]
    assert [(row.localDate, int(row.punches)) for row in other.itertuples()] == [
        ("2026-11-23", 4),
        ("2026-11-24", 3),
    ]
    assert isinstance(hours, pandas.DataFrame)
    first, second = hours.loc[EMPLOYEE]["hours"]
    assert (first, pandas.isna(second)) == (8.5, True)  # people must look at an odd number


def test_documented_answers_of_a_wrong_key_and_of_another_route(
    empty_stack: Stack, key: str
) -> None:
    wrong = requests.get(empty_stack.root, auth=("report", key[:-1] + "_"), timeout=10)
    assert wrong.status_code == 401
    assert "unknown, expired or revoked" in wrong.text
    assert 'Basic realm="punch-clock", charset="UTF-8"' in wrong.headers["WWW-Authenticate"]
    elsewhere = requests.get(f"{empty_stack.url}/health", auth=("report", key), timeout=10)
    assert elsewhere.status_code == 403
    assert "only reads /odata" in elsewhere.text
