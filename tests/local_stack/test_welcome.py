"""The text at the end of a start has commands that a shell runs as they are."""

import shlex
from pathlib import Path

from local.commands.up import _welcome
from local.stack import DEFAULT_PORTS, StackOptions
from local.tokens import make_key


def test_commands_name_a_directory_with_a_space(tmp_path: Path) -> None:
    home = tmp_path / "da ta"
    make_key(home)
    options = StackOptions(home, port=0, default_ports=False, workers=1, tick_s=0, legacy={})
    text = _welcome({name: f"http://{name}" for name in DEFAULT_PORTS}, options)
    commands = [line.partition("with: ")[2] for line in text.splitlines() if "-m local" in line]
    assert [shlex.split(each)[-2:] for each in commands] == [["--data", str(home)]] * 2
