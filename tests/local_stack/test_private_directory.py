"""The directory of a stack is closed to other users, also if an earlier version made it."""

import os
import stat
from pathlib import Path

import pytest

from local.child_process import PROJECT
from local.private_directory import create, is_for_a_stack, make_private
from tests.support.running_stack import local


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_new_directory_is_private_and_those_above_it_are_not(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b" / "home"
    before = os.umask(0o077)
    try:
        create(home)
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


def test_directory_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "www").mkdir(parents=True)
    for each in (site, site / "www"):
        each.chmod(0o1777)

    done = local("up", "--data", str(site))

    assert done.returncode == 1
    assert done.stdout.startswith(f"{site} has files, and none of a stack.")
    assert [mode(site), mode(site / "www")] == [0o1777, 0o1777]
    assert [each.name for each in site.iterdir()] == ["www"]


@pytest.mark.parametrize("name", ["lock", "jwt.key", "postgres"])
def test_directory_with_a_file_of_an_earlier_stack_is_for_a_stack(
    name: str, tmp_path: Path
) -> None:
    assert is_for_a_stack(tmp_path)
    (tmp_path / "log").mkdir()
    assert not is_for_a_stack(tmp_path)
    (tmp_path / name).touch()
    assert is_for_a_stack(tmp_path)


def test_directory_of_the_checkout_may_have_npm_packages_first() -> None:
    home = PROJECT / ".local"
    home.mkdir(exist_ok=True)
    (home / "npm").mkdir(exist_ok=True)
    assert is_for_a_stack(home.resolve())
