"""``python -m local token``: what it makes is a token of the stack on that directory."""

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
def test_a_token_is_the_principals(
    arguments: list[str], principal: Principal, tmp_path: Path
) -> None:
    make_key(tmp_path)
    done = local("token", "--data", str(tmp_path), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    checked = authenticator(Settings(), read_key(tmp_path))
    assert checked.authenticate([f"Bearer {done.stdout.strip()}"]) == principal


def test_what_a_token_lacks_is_said(tmp_path: Path) -> None:
    done = local("token", "--data", str(tmp_path), "--role", "employee")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--employer and --employee" in done.stderr
    done = local("token", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "make run" in done.stderr


def test_a_key_is_its_owners_and_stays(tmp_path: Path) -> None:
    make_key(tmp_path)
    key = read_key(tmp_path)
    make_key(tmp_path)
    assert read_key(tmp_path) == key
    assert key_file(tmp_path).stat().st_mode & 0o077 == 0
