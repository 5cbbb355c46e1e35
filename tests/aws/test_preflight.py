"""``make deploy`` says in one sentence what would make the deployment fail.

A program ``aws`` on PATH plays the AWS CLI. Its answers have the form of AWS's.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import __main__ as command
from deploy.preflight import CliError, Plan, problems, stack_state
from tests.support.aws_cli import Cli

PLAN = Plan(
    stack="punch-clock-prod",
    bucket="code",
    table="punch-clock-prod-point-record",
    reserved={"punch-clock-prod": 40, "punch-clock-prod-intake": 1000},
)
NO_STACK = "An error occurred (ValidationError): Stack with id punch-clock-prod does not exist"
NOT_FOUND = "An error occurred (ResourceNotFoundException) when calling the operation: not found"

# The answers for an account in which a first deployment succeeds. A text is an error.
READY: dict[str, Any] = {
    "--version": "aws-cli/2.31.9 Python/3.13.7 Linux/6.1 exe/x86_64",
    "configure get": "eu-central-1",
    "sts get-caller-identity": {"Arn": "arn:aws:sts::123456789012:assumed-role/deployer/x"},
    "s3api head-bucket": {},
    "lambda get-account-settings": {
        "AccountLimit": {"ConcurrentExecutions": 1200, "UnreservedConcurrentExecutions": 1200}
    },
    "lambda get-function-concurrency": NOT_FOUND,
    "cloudformation describe-stacks": NO_STACK,
    "dynamodb describe-table": NOT_FOUND,
    "logs describe-log-groups": {"logGroups": []},
}


class PreparedCli(Cli):
    """The AWS CLI of an account that is ready, but for what a test changes."""

    def ready_but(self, **changes: Any) -> None:
        """Answer as ``READY``, with some answers changed (``__`` stands for a space)."""
        changed = {
            name.replace("__", " ").replace("_", "-"): each for name, each in changes.items()
        }
        assert changed.keys() <= READY.keys()
        self.answer(READY | changed)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedCli:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    cli = PreparedCli(tmp_path, plain=("--version", "configure get"))
    cli.ready_but()
    return cli


def only_problem(plan: Plan = PLAN) -> str:
    (sentence,) = problems(plan)
    assert len(sentence.splitlines()) == 1
    return sentence


def state(status: str) -> dict[str, Any]:
    return {"Stacks": [{"StackStatus": status}]}


def test_account_that_is_ready_has_no_problem(cli: PreparedCli) -> None:
    assert problems(PLAN) == []
    assert problems(replace(PLAN, bucket=None)) == []


def test_machine_without_the_cli_is_told_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no AWS CLI" in only_problem()


@pytest.mark.parametrize("version", ["aws-cli/1.45.11 Python/3.11.7", "zsh: not an aws"])
def test_old_cli_is_refused(version: str, cli: PreparedCli) -> None:
    cli.ready_but(**{"--version": version})
    assert "Install version 2" in only_problem()


def test_region_comes_from_the_environment_or_the_profile(
    cli: PreparedCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ready_but(configure__get="")
    assert "Set AWS_REGION" in only_problem()
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert problems(PLAN) == []


def test_credentials_must_work_and_not_be_those_of_root(cli: PreparedCli) -> None:
    cli.ready_but(sts__get_caller_identity="An error occurred (ExpiredToken): it has\nexpired")
    assert "The credentials do not work: " in only_problem()
    cli.ready_but(sts__get_caller_identity={"Arn": "arn:aws:iam::123456789012:root"})
    assert "root user" in only_problem()


def test_bucket_must_exist(cli: PreparedCli) -> None:
    cli.ready_but(s3api__head_bucket="An error occurred (404) when calling HeadBucket: Not Found")
    assert "The bucket code cannot be used: " in only_problem()


def test_quota_must_hold_what_is_reserved_and_what_lambda_keeps(cli: PreparedCli) -> None:
    def limits(quota: int, unreserved: int) -> dict[str, Any]:
        limit = {"ConcurrentExecutions": quota, "UnreservedConcurrentExecutions": unreserved}
        return {"AccountLimit": limit}

    cli.ready_but(lambda__get_account_settings=limits(1140, 1140))
    assert problems(PLAN) == []
    cli.ready_but(lambda__get_account_settings=limits(1139, 1139))
    assert "a quota of at least 1,140" in only_problem()
    cli.ready_but(lambda__get_account_settings=limits(10, 10))
    assert "0 of the account's 10 can be reserved" in only_problem()
    # A later deployment needs no more than its functions have.
    cli.ready_but(
        cloudformation__describe_stacks=state("UPDATE_COMPLETE"),
        lambda__get_account_settings=limits(1140, 100),
        lambda__get_function_concurrency={"ReservedConcurrentExecutions": 520},
    )
    assert problems(PLAN) == []


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name punch-clock-prod"),
        ("ROLLBACK_FAILED", "A deployment that failed"),
        ("UPDATE_ROLLBACK_FAILED", "A deployment that failed"),
        ("UPDATE_IN_PROGRESS", "Wait until it ends"),
    ],
)
def test_stack_that_cannot_be_updated_is_named_with_the_way_out(
    status: str, sentence: str, cli: PreparedCli
) -> None:
    cli.ready_but(cloudformation__describe_stacks=state(status))
    assert sentence in only_problem()


def test_what_a_deleted_stack_left_behind_is_named(cli: PreparedCli) -> None:
    cli.ready_but(dynamodb__describe_table={"Table": {}})
    assert "The table punch-clock-prod-point-record exists without a stack" in only_problem()
    left = {"logGroups": [{"logGroupName": "/aws/lambda/punch-clock-prod-intake"}]}
    cli.ready_but(logs__describe_log_groups=left)
    assert "1 log groups exist without a stack" in only_problem()
    # With its stack, each of them belongs there.
    cli.ready_but(
        cloudformation__describe_stacks=state("UPDATE_ROLLBACK_COMPLETE"),
        dynamodb__describe_table={"Table": {}},
        logs__describe_log_groups=left,
    )
    assert problems(PLAN) == []


def test_answer_that_is_refused_or_garbage_is_a_problem_and_no_crash(cli: PreparedCli) -> None:
    cli.ready_but(lambda__get_account_settings="An error occurred (AccessDenied): no")
    assert "The account cannot be checked: " in only_problem()
    cli.ready_but(lambda__get_account_settings="")
    assert "The account cannot be checked: exit code 254" in only_problem()


def test_command_prints_the_problems_and_fails(
    cli: PreparedCli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deploy", "preflight", "prod", "--bucket", "code"])
    assert command.main() == 0
    cli.ready_but(cloudformation__describe_stacks=state("UPDATE_IN_PROGRESS"))
    assert command.main() == 1
    assert "Wait until it ends" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "protected"),
    [
        (NO_STACK, "false\n"),
        (state("REVIEW_IN_PROGRESS"), "false\n"),
        (state("CREATE_COMPLETE"), "true\n"),
        (state("UPDATE_ROLLBACK_COMPLETE"), "true\n"),
    ],
)
def test_table_is_protected_from_the_second_deployment_on(
    answer: Any,
    protected: str,
    cli: PreparedCli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.ready_but(cloudformation__describe_stacks=answer)
    monkeypatch.setattr(sys, "argv", ["deploy", "protection", "prod"])
    assert command.main() == 0
    assert capsys.readouterr().out == protected


def test_table_is_not_unprotected_because_the_account_cannot_be_asked(
    cli: PreparedCli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.ready_but(cloudformation__describe_stacks="An error occurred (Throttling): rate exceeded")
    with pytest.raises(CliError, match="Throttling"):
        stack_state("punch-clock-prod")
    monkeypatch.setattr(sys, "argv", ["deploy", "protection", "prod"])
    assert command.main() == 1
    assert capsys.readouterr().out == ""
