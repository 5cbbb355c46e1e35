"""``make deploy`` says in one sentence what would make the deployment fail.

A program ``aws`` on PATH plays the AWS CLI. Its answers have the form of AWS's.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import __main__ as command
from deploy.preflight import CliError, Plan, problems, stack_state

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


class Cli:
    """A directory with a program ``aws`` that gives these answers."""

    def __init__(self, directory: Path) -> None:
        self._answers = directory / "answers"
        self._answers.mkdir()
        program = directory / "aws"
        program.write_text(
            "#!/bin/sh\n"
            f'cd "{self._answers}"\n'
            'if [ $# -eq 1 ]; then key=$1; else key="$1 $2"; fi\n'
            '[ -f "$key.out" ] && exec /bin/cat -- "$key.out"\n'
            '/bin/cat -- "$key.err" >&2; exit 254\n'
        )
        program.chmod(0o755)

    def answer(self, **changes: Any) -> None:
        """Set the answers: those of ``READY``, some of them changed (``__`` for a space)."""
        changed = {
            name.replace("__", " ").replace("_", "-"): each for name, each in changes.items()
        }
        assert changed.keys() <= READY.keys()
        for path in self._answers.iterdir():
            path.unlink()
        for name, each in (READY | changed).items():
            fine = isinstance(each, dict) or (name in ("--version", "configure get") and each)
            text = json.dumps(each) if isinstance(each, dict) else each
            (self._answers / f"{name}.{'out' if fine else 'err'}").write_text(text)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    cli = Cli(tmp_path)
    cli.answer()
    return cli


def only_problem(plan: Plan = PLAN) -> str:
    (sentence,) = problems(plan)
    assert len(sentence.splitlines()) == 1
    return sentence


def state(status: str) -> dict[str, Any]:
    return {"Stacks": [{"StackStatus": status}]}


def test_account_that_is_ready_has_no_problem(cli: Cli) -> None:
    assert problems(PLAN) == []
    assert problems(replace(PLAN, bucket=None)) == []


def test_machine_without_the_cli_is_told_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no AWS CLI" in only_problem()


@pytest.mark.parametrize("version", ["aws-cli/1.45.11 Python/3.11.7", "zsh: not an aws"])
def test_old_cli_is_refused(version: str, cli: Cli) -> None:
    cli.answer(**{"--version": version})
    assert "Install version 2" in only_problem()


def test_region_comes_from_the_environment_or_the_profile(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.answer(configure__get="")
    assert "Set AWS_REGION" in only_problem()
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert problems(PLAN) == []


def test_credentials_must_work_and_not_be_those_of_root(cli: Cli) -> None:
    cli.answer(sts__get_caller_identity="An error occurred (ExpiredToken): it has\nexpired")
    assert "The credentials do not work: " in only_problem()
    cli.answer(sts__get_caller_identity={"Arn": "arn:aws:iam::123456789012:root"})
    assert "root user" in only_problem()


def test_bucket_must_exist(cli: Cli) -> None:
    cli.answer(s3api__head_bucket="An error occurred (404) when calling HeadBucket: Not Found")
    assert "The bucket code cannot be used: " in only_problem()


def test_quota_must_hold_what_is_reserved_and_what_lambda_keeps(cli: Cli) -> None:
    def limits(quota: int, unreserved: int) -> dict[str, Any]:
        limit = {"ConcurrentExecutions": quota, "UnreservedConcurrentExecutions": unreserved}
        return {"AccountLimit": limit}

    cli.answer(lambda__get_account_settings=limits(1140, 1140))
    assert problems(PLAN) == []
    cli.answer(lambda__get_account_settings=limits(1139, 1139))
    assert "a quota of at least 1,140" in only_problem()
    cli.answer(lambda__get_account_settings=limits(10, 10))
    assert "0 of the account's 10 can be reserved" in only_problem()
    # A later deployment needs no more than its functions have.
    cli.answer(
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
    status: str, sentence: str, cli: Cli
) -> None:
    cli.answer(cloudformation__describe_stacks=state(status))
    assert sentence in only_problem()


def test_what_a_deleted_stack_left_behind_is_named(cli: Cli) -> None:
    cli.answer(dynamodb__describe_table={"Table": {}})
    assert "The table punch-clock-prod-point-record exists without a stack" in only_problem()
    left = {"logGroups": [{"logGroupName": "/aws/lambda/punch-clock-prod-intake"}]}
    cli.answer(logs__describe_log_groups=left)
    assert "1 log groups exist without a stack" in only_problem()
    # With its stack, each of them belongs there.
    cli.answer(
        cloudformation__describe_stacks=state("UPDATE_ROLLBACK_COMPLETE"),
        dynamodb__describe_table={"Table": {}},
        logs__describe_log_groups=left,
    )
    assert problems(PLAN) == []


def test_answer_that_is_refused_or_garbage_is_a_problem_and_no_crash(cli: Cli) -> None:
    cli.answer(lambda__get_account_settings="An error occurred (AccessDenied): no")
    assert "The account cannot be checked: " in only_problem()
    cli.answer(lambda__get_account_settings="")
    assert "The account cannot be checked: exit code 254" in only_problem()


def test_command_prints_the_problems_and_fails(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deploy", "preflight", "prod", "--bucket", "code"])
    assert command.main() == 0
    cli.answer(cloudformation__describe_stacks=state("UPDATE_IN_PROGRESS"))
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
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.answer(cloudformation__describe_stacks=answer)
    monkeypatch.setattr(sys, "argv", ["deploy", "protection", "prod"])
    assert command.main() == 0
    assert capsys.readouterr().out == protected


def test_table_is_not_unprotected_because_the_account_cannot_be_asked(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.answer(cloudformation__describe_stacks="An error occurred (Throttling): rate exceeded")
    with pytest.raises(CliError, match="Throttling"):
        stack_state("punch-clock-prod")
    monkeypatch.setattr(sys, "argv", ["deploy", "protection", "prod"])
    assert command.main() == 1
    assert capsys.readouterr().out == ""
