"""The Python of docs/analysts.md, run against the service with an access key."""

import re

import pandas
import pytest
import requests

import app
from local.child_process import PROJECT
from tests.clients.conftest import PAGE, RECORDS, Stack
from tests.support.lambda_events import context
from tests.support.service import wired
from tests.support.tokens import OPERATOR, operator_event


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """A key for the employer of the records."""
    with wired(stack.variables):
        made = app.access_keys(operator_event(name="report", employerId=121), context())
    return str(made["key"])


def test_documented_python_reads_all_pages_and_groups_by_day(stack: Stack, key: str) -> None:
    # Two more punches of one employee, on the day of the first by UTC-3.
    for clock in ("17:00:00", "23:30:00"):
        punch = {"employeeId": 1, "employerId": 121, "includedAt": f"2026-11-22T{clock}-03:00"}
        requests.post(f"{stack.url}/point-record", json=punch, headers=OPERATOR, timeout=30)
    stack.replicate()
    text = (PROJECT / "docs/analysts.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names = {"API": stack.root, "KEY": key}
    for each in blocks:
        exec(compile(each, "docs/analysts.md", "exec"), names)  # noqa: S102

    punches = names["punches"]
    assert isinstance(punches, pandas.DataFrame)
    assert len(punches) >= RECORDS + 2 > PAGE
    per_day = names["per_day"]
    assert isinstance(per_day, pandas.DataFrame)
    first = per_day[per_day["employeeId"] == 1].iloc[0]
    assert (first["day"], int(first["punches"])) == ("2026-11-22", 3)
    assert first["first"] == "2026-11-22T11:00:00.000000Z"
    assert first["last"] == "2026-11-23T02:30:00.000000Z"
    hours = names["hours"]
    assert isinstance(hours, pandas.DataFrame)
    assert hours["hours"].isna().all()  # three punches or one: people must look


def test_documented_answers_of_a_wrong_key_and_of_another_route(stack: Stack, key: str) -> None:
    wrong = requests.get(stack.root, auth=("report", key[:-1] + "_"), timeout=10)
    assert wrong.status_code == 401
    assert "unknown, expired or revoked" in wrong.text
    assert 'Basic realm="punch-clock", charset="UTF-8"' in wrong.headers["WWW-Authenticate"]
    elsewhere = requests.get(f"{stack.url}/health", auth=("report", key), timeout=10)
    assert elsewhere.status_code == 403
    assert "only reads /odata" in elsewhere.text
