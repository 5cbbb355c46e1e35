"""docs/operations.md agrees with the deployment's configuration and the capacity model."""

import json
import re

import pytest

from deploy import capacity
from local.child_process import PROJECT
from tests.support.deployed_template import CHALICE, FUNCTIONS, PROD, ROUTES

TEXT = (PROJECT / "docs/operations.md").read_text(encoding="utf-8")


def test_capacity_tables_match_the_capacity_model() -> None:
    tables = capacity.tables()
    print(tables)  # on failure, copy these tables into the document
    assert tables in TEXT


def test_a_faster_legacy_lowers_the_cost_of_lambda_and_no_other_cost() -> None:
    slow, fast = capacity.monthly(1e6, 20), capacity.monthly(1e6, 40)
    assert slow["Lambda"] > fast["Lambda"]
    assert {**slow, "Lambda": 0} == {**fast, "Lambda": 0}


def test_twice_the_records_cost_less_than_twice_as_much() -> None:
    once, twice = capacity.monthly(1e6, 20), capacity.monthly(2e6, 20)
    assert sum(once.values()) < sum(twice.values()) < 2 * sum(once.values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_table_has_memory_timeout_and_reserved_concurrency(function: str) -> None:
    name = "routes" if function == ROUTES else f"`{function}`"
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| ") and name in line[:60]][:1]
    bounds = PROD["lambda_functions"][function]
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", row)}
    assert {
        bounds["lambda_memory_size"],
        bounds["lambda_timeout"],
        bounds["reserved_concurrency"],
    } <= numbers


def test_document_names_each_secret() -> None:
    values = PROD["environment_variables"].values()
    secrets = [value.rpartition("/")[2] for value in values if value.startswith("ssm:")]
    assert secrets
    assert [name for name in secrets if f"`{name}`" not in TEXT] == []


def test_document_names_each_alarm_that_is_not_of_a_function() -> None:
    resources = json.loads((CHALICE / "resources.json").read_text())["Resources"]
    alarms = {name for name, each in resources.items() if each.get("Type", "").endswith("::Alarm")}
    of_functions = {name for name in alarms if re.search("(Errors|Throttles|Duration)Alarm$", name)}
    others = alarms - of_functions
    assert others
    assert [name for name in others if name.removesuffix("Alarm") not in TEXT] == []


def test_document_has_the_sum_of_the_reserved_concurrency() -> None:
    reserved = sum(each["reserved_concurrency"] for each in PROD["lambda_functions"].values())
    assert f"{reserved} are reserved" in TEXT
