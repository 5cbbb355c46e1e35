"""Commands on a stack that was killed say that it is down; they do not wait for its parts.

Those on the stack of another user say so, too.
"""

import fcntl
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

import local.commands.status
import local.commands.token  # noqa: F401 - another user may not be able to import them
from local.__main__ import main
from local.stack_file import LOCK, NotRunningError, read_stack, write_stack

STACK = {
    "api": "http://127.0.0.1:9",
    "postgres": "postgresql://a:b@127.0.0.1:9/c",
    "dynamodb": "http://127.0.0.1:9",
    "legacy": "http://127.0.0.1:9",
    "pids": {"api": 1, "postgres": 2, "dynamodb": 3, "legacy": 4},
    "jwt_key": "jwt.key",
    "log": "log",
    "legacy_settings": {},
}


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """The directory of a stack that was killed: nobody has removed its description."""
    write_stack(tmp_path, STACK)
    (tmp_path / LOCK).write_text("7")
    umask = os.umask(0)
    os.umask(umask)
    yield tmp_path
    os.umask(umask)  # the commands have changed it


@pytest.mark.parametrize(
    "command",
    ["status", "tick replicate", "tick integrate", "reconcile", "replay --filter true", "release"],
)
def test_command_on_a_stack_that_is_down_says_so(
    command: str, killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--data", str(killed)]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        f"The stack on {killed} is down. Start it again with: make run\n",
    )


def test_burst_on_a_stack_that_is_down_says_so(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["burst", "1", "--data", str(killed)]) == 2
    assert "is down. Start it again with: make run" in " ".join(capsys.readouterr().out.split())


def test_stack_whose_process_holds_the_lock_is_not_down(killed: Path) -> None:
    with (killed / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_stack(killed) == STACK
    with pytest.raises(NotRunningError, match="is down"):
        read_stack(killed)


@pytest.fixture
def foreign(killed: Path) -> Iterator[Path]:
    """The directory of a stack, of which this process may read nothing."""
    is_root = os.geteuid() == 0
    killed.chmod(0o700 if is_root else 0)
    if is_root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    yield killed
    if is_root:
        os.seteuid(0)
    killed.chmod(0o700)


@pytest.mark.parametrize(("command", "file"), [("status", "stack.json"), ("token", "jwt.key")])
def test_command_on_the_stack_of_another_user_says_so(
    command: str, file: str, foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--data", str(foreign)]) == 1
    message = f"{foreign / file} cannot be read: the stack belongs to another user.\n"
    assert capsys.readouterr() == ("", message)
