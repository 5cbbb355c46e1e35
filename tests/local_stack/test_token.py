"""``python -m local token`` prints tokens that the stack on the directory accepts."""

import getpass
from pathlib import Path

import pytest

from chalicelib.identity.factory import authenticator
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.tokens import key_file, make_key, read_key
from tests.support.running_stack import local


@pytest.mark.parametrize(
    ("arguments", "principal"),
    [
        ([], Principal(Role.INTEGRATION, subject=getpass.getuser())),
        (
            ["--role", "employer", "--employer", "121"],
            Principal(Role.EMPLOYER, 121, None, getpass.getuser()),
        ),
        (
            ["--role", "employee", "--employer", "121", "--employee", "7"],
            Principal(Role.EMPLOYEE, 121, 7, getpass.getuser()),
        ),
    ],
    ids=str,
)
def test_token_authenticates_the_principal(
    arguments: list[str], principal: Principal, tmp_path: Path
) -> None:
    make_key(tmp_path)
    done = local("token", "--data", str(tmp_path), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    stack_authenticator = authenticator(Settings(), read_key(tmp_path))
    assert stack_authenticator.authenticate([f"Bearer {done.stdout.strip()}"]) == principal


def test_missing_ids_are_named(tmp_path: Path) -> None:
    done = local("token", "--data", str(tmp_path), "--role", "employee")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--employer and --employee" in done.stderr


def test_missing_key_is_reported_with_the_command_that_makes_one(tmp_path: Path) -> None:
    done = local("token", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "make run" in done.stderr


def test_key_is_private_and_is_not_replaced(tmp_path: Path) -> None:
    make_key(tmp_path)
    key = read_key(tmp_path)
    make_key(tmp_path)
    assert read_key(tmp_path) == key
    assert key_file(tmp_path).stat().st_mode & 0o077 == 0
