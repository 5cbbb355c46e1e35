"""The database's stack keeps itself up: storage, alarms, windows, logs, ways out of the VPC."""

import json
import re
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.child_process import PROJECT

PATH = PROJECT / "deploy" / "database.yaml"
RESOURCES = json.loads((PROJECT / ".chalice/resources.json").read_text(encoding="utf-8"))
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.fixture(scope="module")
def database() -> dict[str, Any]:
    document: dict[str, Any] = yaml_parse(PATH.read_text(encoding="utf-8"))
    return document


def instance(database: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = database["Resources"]["Database"]["Properties"]
    return properties


def default(database: dict[str, Any], parameter: str) -> Any:
    return database["Parameters"][parameter]["Default"]


def minutes(window: str, day: str = "") -> range:
    """Return the minutes of a window, from midnight of its first day."""
    first, last = (int(each[:2]) * 60 + int(each[3:]) for each in window.split("-"))
    assert first < last, day
    return range(first, last)


def test_windows_are_apart_from_each_other_and_from_the_shift_changes(
    database: dict[str, Any],
) -> None:
    backup = minutes(default(database, "BackupWindow"))
    day = default(database, "MaintenanceWindow")[:3]
    maintenance = minutes(default(database, "MaintenanceWindow").replace(f"{day}:", ""), day)
    assert day in WEEK
    assert not set(backup) & set(maintenance)
    parameters = RESOURCES["Parameters"]
    warm, cold = (parameters[each]["Default"] for each in ("WarmFrom", "WarmUntil"))
    starts, ends = (re.findall(r"cron\((\d+) (\S+)", each)[0] for each in (warm, cold))
    for start, end in zip(starts[1].split(","), ends[1].split(","), strict=True):
        # In UTC, and in São Paulo, three hours behind.
        for behind in (0, 180):
            first = int(start) * 60 + int(starts[0]) + behind
            last = int(end) * 60 + int(ends[0]) + behind
            shift = {each % 1440 for each in range(first, last)}
            assert not shift & (set(backup) | set(maintenance))


def test_storage_grows_by_itself_for_years(database: dict[str, Any]) -> None:
    assert instance(database)["MaxAllocatedStorage"] == {"Ref": "MaxStorageGb"}
    bounds = database["Parameters"]["MaxStorageGb"]
    # RDS rejects a bound that is less than a tenth above the storage.
    assert 10 * bounds["MinValue"] >= 11 * database["Parameters"]["StorageGb"]["MinValue"]
    assert bounds["Default"] >= 3 * 365  # 1 GB a day


def test_each_alarm_watches_the_instance_and_tells_the_topic(database: dict[str, Any]) -> None:
    alarms = {
        each["Properties"]["MetricName"]: each["Properties"]
        for each in database["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert set(alarms) == {
        *("FreeStorageSpace", "CPUUtilization", "FreeableMemory"),
        *("DatabaseConnections", "MaximumUsedTransactionIDs"),
    }
    for alarm in alarms.values():
        assert alarm["Namespace"] == "AWS/RDS"
        assert alarm["Dimensions"] == [
            {"Name": "DBInstanceIdentifier", "Value": {"Ref": "Database"}}
        ]
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "DatabaseAlarms"}]
    # RDS enlarges the storage at a tenth that is free. The alarm is below: it did not.
    smallest = database["Parameters"]["StorageGb"]["MinValue"] * 2**30
    assert alarms["FreeStorageSpace"]["Threshold"] < smallest / 10
    assert alarms["FreeStorageSpace"]["TreatMissingData"] == "breaching"


def test_log_of_slow_statements_has_no_values_of_punches(database: dict[str, Any]) -> None:
    settings = database["Resources"]["Settings"]["Properties"]["Parameters"]
    assert settings["log_min_duration_statement"] == {"Fn::Sub": "${SlowStatementMs}"}
    assert settings["log_parameter_max_length"] == "0"
    assert settings["log_parameter_max_length_on_error"] == "0"


def test_failed_and_large_queries_are_bounded(database: dict[str, Any]) -> None:
    settings = database["Resources"]["Settings"]["Properties"]["Parameters"]
    assert settings["log_min_error_statement"] == "panic"
    assert settings["temp_file_limit"] == {"Fn::Sub": "${TempFileMb}000"}  # in KB
    assert default(database, "TempFileMb") == 1024


def holds(condition: Any, parameters: dict[str, Any], named: dict[str, Any]) -> bool:
    """Evaluate a condition, which may refer to the template's named ones."""
    ((function, arguments),) = condition.items()
    if function == "Condition":
        return holds(named[arguments], parameters, named)
    if function == "Fn::Equals":
        left, right = (
            parameters[each["Ref"]] if isinstance(each, dict) else each for each in arguments
        )
        return bool(left == right)
    values = [holds(each, parameters, named) for each in arguments]
    combine = {"Fn::Not": lambda each: not each[0], "Fn::And": all, "Fn::Or": any}
    return bool(combine[function](values))


def made(database: dict[str, Any], **given: str) -> dict[str, str]:
    """Return the types of the resources that a stack with these parameters makes, by name."""
    defaults = {name: each.get("Default") for name, each in database["Parameters"].items()}
    parameters, named = defaults | given, database["Conditions"]
    for rule in database["Rules"].values():
        assert all(holds(each["Assert"], parameters, named) for each in rule["Assertions"])
    conditions = {name: holds(each, parameters, named) for name, each in named.items()}
    conditions[None] = True
    return {
        name: each["Type"]
        for name, each in database["Resources"].items()
        if conditions[each.get("Condition")]
    }


def test_stack_has_endpoints_and_neither_a_proxy_nor_a_gateway_by_default(
    database: dict[str, Any],
) -> None:
    resources = made(database)
    assert not [each for each in resources if "Proxy" in each or "Egress" in each]
    assert {"DynamoDbEndpoint", "SsmEndpoint", "LogsEndpoint", "DatabaseLogs"} <= set(resources)


def test_stack_with_a_proxy_lets_it_reach_the_instance(database: dict[str, Any]) -> None:
    new = set(made(database, WithProxy="true")) - set(made(database))
    assert new == {"Proxy", "ProxyGroup", "ProxyIngress", "ProxyRole", "ProxyTargets"}


def test_each_gateway_has_a_fixed_address_that_stays_and_a_route(database: dict[str, Any]) -> None:
    one = {"EgressSubnetId": "subnet-3", "EgressRouteTableId": "rtb-1"}
    two = {"SecondEgressSubnetId": "subnet-4", "SecondEgressRouteTableId": "rtb-2"}
    first = set(made(database, **one, WithEndpoints="false")) - set(made(database))
    assert first == {"EgressAddress", "EgressGateway", "EgressRoute"}
    second = set(made(database, **one, **two)) - set(made(database, **one))
    assert second == {f"Second{each}" for each in first}
    for name in ("EgressAddress", "SecondEgressAddress"):
        address = database["Resources"][name]
        assert address["DeletionPolicy"] == "RetainExceptOnCreate"
        assert database["Outputs"][name]["Value"] == {"Ref": name}
    without = set(made(database)) - set(made(database, **one, WithEndpoints="false"))
    assert without == {"SsmEndpoint", "LogsEndpoint"}


def test_a_gateway_needs_its_route_table(database: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        made(database, EgressSubnetId="subnet-3")
    with pytest.raises(AssertionError):
        made(database, EgressRouteTableId="rtb-1")


def test_log_group_is_made_before_the_instance_that_logs_to_it(database: dict[str, Any]) -> None:
    """The name of the group is /aws/rds/instance/NAME/postgresql."""
    name = instance(database)["DBInstanceIdentifier"]
    condition, from_group, generated = name["Fn::If"]
    assert (condition, generated) == ("Named", {"Ref": "AWS::NoValue"})
    assert from_group == {"Fn::Select": [4, {"Fn::Split": ["/", {"Ref": "DatabaseLogs"}]}]}
    group = database["Resources"]["DatabaseLogs"]["Properties"]
    for option in group["LogGroupName"]["Fn::If"][1:]:
        parts = option["Fn::Sub"].split("/")
        assert (parts[:4], parts[5]) == (["", "aws", "rds", "instance"], "postgresql")
        assert parts[4] in ("${AWS::StackName}", "${InstanceIdentifier}")
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert "DatabaseLogs" not in made(database, InstanceIdentifier="generated")
