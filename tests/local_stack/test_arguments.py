"""Bad command-line arguments are rejected with a message that says what is allowed."""

from pathlib import Path

import pytest

from local.__main__ import main
from tests.support.running_stack import local


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("up --port 99999", "--port: '99999' is not an integer, from 0 to 65535"),
        ("up --tick soon", "--tick: 'soon' is not a number, 0 or more"),
        ("up --tick inf", "--tick: 'inf' is not a number, 0 or more"),
        ("up --legacy legacy.example", "--legacy: 'legacy.example' is not an HTTP URL"),
        ("up --legacy http://[::1/", "--legacy: 'http://[::1/' is not an HTTP URL"),
        (
            "up --legacy /nowhere/hr.env",
            "'/nowhere/hr.env' is not an HTTP URL such as http://127.0.0.1:9000/path, nor a file",
        ),
        ("legacy check --legacy /nowhere/hr.env", "--legacy: '/nowhere/hr.env' is not a file"),
        ("legacy check --record {bad", "--record: is not JSON: Expecting property name"),
        ("token --hours nan", "--hours: 'nan' is not a number, 0 or more"),
        (
            "token --employer 0",
            "--employer: '0' is not an integer, from 1 to 9223372036854775807",
        ),
        ("tick replicate --seconds -3", "--seconds: '-3' is not a number, 0 or more"),
        ("release x", "id: 'x' is not an integer, 1 or more"),
        ("release 7 --record {bad", "--record: is not JSON: Expecting property name"),
        ("burst 0", "punches: '0' is not an integer, 1 or more"),
        ("burst 3 --at-once 0", "--at-once: '0' is not an integer, 1 or more"),
        ("burst 3 --resent 7", "--resent: '7' is not a number, from 0 to 1"),
    ],
)
def test_bad_argument_is_rejected_by_name(
    line: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):  # the command sets them
        monkeypatch.setenv(name, "")
    with pytest.raises(SystemExit) as exit_:
        main(line.split())
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "status", "token"])
def test_file_in_place_of_the_directory_is_named(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = local(command, "--data", str(file))
    assert done.returncode == 1
    assert str(file) in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
