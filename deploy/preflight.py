"""Check the account before a deployment: one sentence for each thing that would make it fail.

A deployment that fails halfway takes minutes and may leave things behind. What it needs of the
machine and of the account is known before: the AWS CLI, a region, credentials, a bucket, a quota,
and a stack that can be updated. All calls only read.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Lambda keeps this many concurrent executions for functions without a reservation.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED = 100

_CALL_TIMEOUT_S = 60
_INSTALL = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"


class CliError(Exception):
    """A call of the AWS CLI failed. The message is what it printed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be deployed: the stack, the bucket, the table, and reservations by function."""

    stack: str
    bucket: str | None
    table: str
    reserved: dict[str, int]


def aws(*arguments: str) -> Any:
    """Call the AWS CLI and return its answer from JSON, or None for an empty one.

    Raises:
        CliError: the command is missing, fails, answers no JSON, or takes longer than a minute.
    """
    text = _output(*arguments, "--output", "json")
    try:
        return json.loads(text) if text.strip() else None
    except ValueError as error:
        raise CliError(f"`aws {' '.join(arguments[:2])}` answers no JSON.") from error


def stack_state(stack: str) -> str | None:
    """Return the status of a stack, such as "UPDATE_COMPLETE", or None if there is none.

    Raises:
        CliError: the account cannot be asked.
    """
    try:
        (found,) = aws("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"]
    except CliError as error:
        if "does not exist" in str(error):
            return None
        raise
    # An empty stack whose first change set was not executed.
    state: str = found["StackStatus"]
    return None if state == "REVIEW_IN_PROGRESS" else state


def problems(plan: Plan) -> list[str]:
    """Return a sentence for each thing that would make the deployment fail."""
    machine = _of_machine()
    if machine:
        return machine
    try:
        arn: str = aws("sts", "get-caller-identity")["Arn"]
    except CliError as error:
        return [f"The credentials do not work: {error}"]
    if arn.endswith(":root"):
        return ["These are the credentials of the account's root user. Use those of a role."]
    checks: Sequence[Callable[[Plan], list[str]]] = (_of_bucket, _of_quota, _of_stack)
    found = []
    for check in checks:
        try:
            found += check(plan)
        except CliError as error:
            found.append(f"The account cannot be checked: {error}")
    return found


def _of_machine() -> list[str]:
    if shutil.which("aws") is None:
        return [f"There is no AWS CLI on PATH. Install version 2: {_INSTALL}"]
    try:
        version = _output("--version").strip()
    except CliError as error:
        return [f"The AWS CLI does not run: {error}"]
    if not re.match(r"aws-cli/([2-9]|\d\d)", version):
        return [
            f"The AWS CLI is {version.split(' ')[0] or 'unknown'}. Install version 2: {_INSTALL}"
        ]
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        try:
            _output("configure", "get", "region")
        except CliError:
            return ["No region is set. Set AWS_REGION, for example AWS_REGION=eu-central-1."]
    return []


def _of_bucket(plan: Plan) -> list[str]:
    if plan.bucket is None:
        return []
    try:
        aws("s3api", "head-bucket", "--bucket", plan.bucket)
    except CliError as error:
        return [f"The bucket {plan.bucket} cannot be used: {error}"]
    return []


def _of_quota(plan: Plan) -> list[str]:
    limits = aws("lambda", "get-account-settings")["AccountLimit"]
    quota, unreserved = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    need = sum(plan.reserved.values())
    free = unreserved - UNRESERVED
    if need > free:
        # What the deployed functions have reserved already is theirs.
        free += sum(_reservation(name) for name in plan.reserved)
    if need <= free:
        return []
    return [
        f"The functions reserve {need:,} concurrent executions, and {max(0, free):,} of the "
        f"account's {quota:,} can be reserved for them. Ask for a quota of at least "
        f"{quota + need - free:,} in Service Quotas (Lambda, L-B99A9384), or lower "
        "reserved_concurrency in .chalice/config.json."
    ]


def _reservation(function: str) -> int:
    try:
        answer = aws("lambda", "get-function-concurrency", "--function-name", function)
    except CliError as error:
        if "ResourceNotFoundException" in str(error):
            return 0
        raise
    return int((answer or {}).get("ReservedConcurrentExecutions", 0))


def _of_stack(plan: Plan) -> list[str]:
    state = stack_state(plan.stack)
    if state is None:
        return _left_behind(plan)
    if state == "ROLLBACK_COMPLETE":
        return [
            f"The first deployment of {plan.stack} failed, and the stack is empty. Delete it: "
            f"aws cloudformation delete-stack --stack-name {plan.stack}"
        ]
    if state.endswith("_FAILED") or state == "DELETE_COMPLETE":
        return [f"{plan.stack} is in state {state}: docs/deployment.md, A deployment that failed."]
    if state.endswith("_IN_PROGRESS"):
        return [f"{plan.stack} is in state {state}. Wait until it ends."]
    return []


def _left_behind(plan: Plan) -> list[str]:
    """Return what an earlier stack has left under names that the first deployment needs."""
    found = []
    try:
        aws("dynamodb", "describe-table", "--table-name", plan.table)
        found.append(
            f"The table {plan.table} exists without a stack. Import or delete it: "
            "docs/deployment.md, A deployment that failed."
        )
    except CliError as error:
        if "ResourceNotFoundException" not in str(error):
            raise
    names = {f"/aws/lambda/{function}" for function in plan.reserved}
    prefix = ("--log-group-name-prefix", f"/aws/lambda/{plan.stack}")
    groups = aws("logs", "describe-log-groups", *prefix)["logGroups"]
    if left := sorted(names & {each["logGroupName"] for each in groups}):
        found.append(
            f"{len(left)} log groups exist without a stack, such as {left[0]}. Delete them: "
            "aws logs delete-log-group --log-group-name NAME"
        )
    return found


def _output(*arguments: str) -> str:
    """Return what the AWS CLI prints.

    Raises:
        CliError: it is missing, fails, or takes longer than a minute.
    """
    command = shutil.which("aws")
    if command is None:
        raise CliError("there is no AWS CLI on PATH.")
    try:
        done = subprocess.run(
            [command, *arguments],
            # Neither a pager nor a prompt may wait for a person.
            env={**os.environ, "AWS_PAGER": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CliError(f"no answer within {_CALL_TIMEOUT_S} s.") from error
    except OSError as error:
        raise CliError(str(error)) from error
    if done.returncode != 0:
        raise CliError(" ".join(done.stderr.split()) or f"exit code {done.returncode}")
    return done.stdout or done.stderr
