"""A change set is shown, executed, and followed until it is done or rolled back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.change_set import DeploymentError, execute, protect, table
from tests.support.aws_cli import Cli

ARN = "arn:aws:cloudformation:eu-central-1:123456789012:changeSet/deploy/1"
STACK = "punch-clock-prod"


def change(action: str, name: str, **members: str) -> dict[str, Any]:
    resource = {"Action": action, "LogicalResourceId": name, "ResourceType": "AWS::X::Y", **members}
    return {"Type": "Resource", "ResourceChange": resource}


def executed(status: str) -> dict[str, Any]:
    return {"ExecutionStatus": status, "Status": "CREATE_COMPLETE"}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Cli(tmp_path)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> tuple[Callable[[float], object], Callable[[], float]]:
    clock = Clock()
    return clock.sleep, lambda: clock.now


def test_table_shows_what_is_lost_first(cli: Cli) -> None:
    changes = [
        change("Modify", "Intake", Replacement="False"),
        change("Add", "Alarm"),
        change("Modify", "PointRecordTable", Replacement="True"),
        change("Remove", "Queue"),
    ]
    cli.answer({"cloudformation describe-change-set": {"Changes": changes}})
    assert table(ARN).splitlines()[2:] == [
        "| Remove | Queue | AWS::X::Y |  |",
        "| Modify | PointRecordTable | AWS::X::Y | True |",
        "| Add | Alarm | AWS::X::Y |  |",
        "| Modify | Intake | AWS::X::Y |  |",
    ]


def test_execution_is_followed_to_its_end(cli: Cli, time: Any) -> None:
    steps = ["AVAILABLE", "EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE"]
    statuses: list[Any] = [executed(each) for each in steps]
    # A call that fails in between says nothing about the changes.
    statuses.insert(1, "An error occurred (Throttling): Rate exceeded")
    answers: dict[str, Any] = {"cloudformation execute-change-set": {}}
    cli.answer({**answers, "cloudformation describe-change-set": statuses})
    execute(ARN, *time)
    assert len(cli.calls) == 5
    cli.answer({**answers, "cloudformation describe-change-set": [executed("EXECUTE_FAILED")]})
    with pytest.raises(DeploymentError, match="ended with EXECUTE_FAILED: docs"):
        execute(ARN, *time)
    cli.answer({**answers, "cloudformation describe-change-set": executed("EXECUTE_IN_PROGRESS")})
    with pytest.raises(DeploymentError, match="After 80 min the change set is EXECUTE_IN_PROGRESS"):
        execute(ARN, lambda _: time[0](1200), time[1])


def test_table_is_protected_once(cli: Cli, time: Any) -> None:
    def stack(protected: str) -> dict[str, Any]:
        values = {"ProtectTable": protected, "JwksUrl": "https://issuer.example/jwks.json"}
        parameters = [{"ParameterKey": key, "ParameterValue": each} for key, each in values.items()]
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Parameters": parameters}]}

    answers: dict[str, Any] = {
        "cloudformation create-change-set": {"Id": ARN},
        "cloudformation execute-change-set": {},
        "cloudformation describe-change-set": executed("EXECUTE_COMPLETE"),
    }
    cli.answer({**answers, "cloudformation describe-stacks": stack("true")})
    assert protect(STACK, *time) is False
    assert len(cli.calls) == 1
    cli.answer({**answers, "cloudformation describe-stacks": stack("false")})
    assert protect(STACK, *time) is True
    (created,) = [each for each in cli.calls if "create-change-set" in each]
    # The rest of the stack stays as it is.
    assert "--use-previous-template" in created
    assert "ParameterKey=ProtectTable,ParameterValue=true" in created
    assert "ParameterKey=JwksUrl,UsePreviousValue=true" in created
