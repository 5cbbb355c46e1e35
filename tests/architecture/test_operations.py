"""docs/operations.md says of the deployment what is so."""

import json
import re

import pytest

from deploy import capacity
from local.child_process import PROJECT
from tests.support.deployed_template import CHALICE, FUNCTIONS, PROD, ROUTES

TEXT = (PROJECT / "docs/operations.md").read_text(encoding="utf-8")


def test_the_tables_of_capacity_are_those_that_are_computed() -> None:
    tables = capacity.tables()
    print(tables)  # when they differ, this is what the document has to say
    assert tables in TEXT


def test_a_legacy_twice_as_fast_costs_less_and_takes_half_as_long() -> None:
    slow, fast = capacity.monthly(1e6, 20), capacity.monthly(1e6, 40)
    assert slow["Lambda"] > fast["Lambda"]
    assert {**slow, "Lambda": 0} == {**fast, "Lambda": 0}
    assert sum(capacity.monthly(2e6, 20).values()) < 2 * sum(slow.values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_is_described_with_its_bounds(function: str) -> None:
    name = "routes" if function == ROUTES else f"`{function}`"
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| ") and name in line[:60]][:1]
    bounds = PROD["lambda_functions"][function]
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", row)}
    assert {
        bounds["lambda_memory_size"],
        bounds["lambda_timeout"],
        bounds["reserved_concurrency"],
    } <= numbers


def test_each_secret_and_each_alarm_is_named() -> None:
    for value in PROD["environment_variables"].values():
        if value.startswith("ssm:"):
            assert f"`{value.rpartition('/')[2]}`" in TEXT
    resources = json.loads((CHALICE / "resources.json").read_text())["Resources"]
    alarms = {name for name, each in resources.items() if each.get("Type", "").endswith("::Alarm")}
    of_functions = {name for name in alarms if re.search("(Errors|Throttles|Duration)Alarm$", name)}
    for name in alarms - of_functions:
        assert name.removesuffix("Alarm") in TEXT, name


def test_the_concurrency_that_is_reserved_is_summed_up() -> None:
    reserved = sum(each["reserved_concurrency"] for each in PROD["lambda_functions"].values())
    assert f"{reserved} are reserved" in TEXT
