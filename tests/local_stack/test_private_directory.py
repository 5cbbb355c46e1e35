"""The directory of a stack is closed to other users, also if an earlier version made it."""

import os
import stat
from pathlib import Path

from local.private_directory import make_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_new_directory_is_private_and_those_above_it_are_not(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b" / "home"
    before = os.umask(0o077)
    try:
        make_private(home)
    finally:
        os.umask(before)
    assert mode(home) == (0o711 if os.geteuid() == 0 else 0o700)
    assert mode(home.parent) == mode(home.parent.parent) == 0o755


def test_directory_of_an_earlier_version_becomes_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "dynamodb").mkdir(parents=True, mode=0o755)
    (home / "dynamodb" / "000.log").touch(0o644)
    (home / "legacy.journal").touch(0o644)
    (home / "link").symlink_to(tmp_path)
    above = mode(tmp_path)
    make_private(home)
    assert mode(home / "dynamodb") == 0o700
    assert mode(home / "legacy.journal") == 0o600
    assert mode(tmp_path) == above
