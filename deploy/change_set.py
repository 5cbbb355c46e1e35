"""Show a change set of CloudFormation, execute it, and protect the table after the first one.

``.github/workflows/deploy.yml`` calls this: a person sees the changes before they are executed.
"""

import time
from collections.abc import Callable
from typing import Any

from deploy.preflight import CliError, aws

_POLL_S = 15
# A gradual deployment of intake takes ten minutes, and each function of the VPC some more.
_TIMEOUT_S = 80 * 60


class DeploymentError(Exception):
    """CloudFormation did not do what was asked. The message is for operators."""


def table(change_set: str) -> str:
    """Return the changes as a table in Markdown, those that replace or remove something first.

    Raises:
        CliError: the change set cannot be read.
    """
    described = aws("cloudformation", "describe-change-set", "--change-set-name", change_set)
    changes = [each["ResourceChange"] for each in described["Changes"]]
    lines = ["| action | resource | type | replaced |", "| --- | --- | --- | --- |"]
    for each in sorted(changes, key=_harmlessness):
        replaced = each.get("Replacement", "False").replace("False", "")
        cells = (each["Action"], each["LogicalResourceId"], each["ResourceType"], replaced)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _harmlessness(change: dict[str, Any]) -> tuple[bool, bool, str]:
    kept = change["Action"] != "Remove"
    return (kept, change.get("Replacement", "False") == "False", change["LogicalResourceId"])


def execute(
    change_set: str,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Execute a change set, and wait until CloudFormation has done it, or has rolled it back.

    Raises:
        CliError: the change set does not exist, or cannot be executed now.
        DeploymentError: the changes failed, or took longer than 80 minutes.
    """
    aws("cloudformation", "execute-change-set", "--change-set-name", change_set)
    status = _settled(
        change_set, "ExecutionStatus", ("AVAILABLE", "EXECUTE_IN_PROGRESS"), sleep, clock
    )
    if status != "EXECUTE_COMPLETE":
        raise DeploymentError(
            f"The change set ended with {status}: docs/deployment.md, A deployment that failed."
        )


def protect(
    stack: str,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Set ``ProtectTable`` to true if it is not; return whether that was needed.

    Raises:
        CliError: there is no such stack, or the account cannot be asked.
        DeploymentError: the change failed.
    """
    (found,) = aws("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}
    if values["ProtectTable"] == "true":
        return False
    parameters = ["ParameterKey=ProtectTable,ParameterValue=true"]
    parameters += [
        f"ParameterKey={name},UsePreviousValue=true" for name in values if name != "ProtectTable"
    ]
    change_set = aws(
        *("cloudformation", "create-change-set", "--stack-name", stack),
        *("--change-set-name", f"protect-{int(time.time())}", "--use-previous-template"),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *("--parameters", *parameters),
    )["Id"]
    pending = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
    status = _settled(change_set, "Status", pending, sleep, clock)
    if status != "CREATE_COMPLETE":
        raise DeploymentError(f"The change set that protects the table ended with {status}.")
    execute(change_set, sleep, clock)
    return True


def _settled(
    change_set: str,
    member: str,
    pending: tuple[str, ...],
    sleep: Callable[[float], object],
    clock: Callable[[], float],
) -> str:
    """Wait until a status of a change set is none of these, and return it."""
    ends_at = clock() + _TIMEOUT_S
    while True:
        try:
            described = aws(
                "cloudformation", "describe-change-set", "--change-set-name", change_set
            )
            status: str = described[member]
        except CliError as error:
            # A failed call says nothing about the changes, which go on.
            status = f"unknown ({error})"
        if status not in pending and not status.startswith("unknown"):
            return status
        if clock() >= ends_at:
            raise DeploymentError(f"After {_TIMEOUT_S // 60} min the change set is {status}.")
        sleep(_POLL_S)
