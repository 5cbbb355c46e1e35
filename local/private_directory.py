"""Keep the directory of a stack from other users of the machine, and take no other directory.

Invariant: nobody but the owner can read what is in it. If we are root, PostgreSQL runs as another
account (``local.postgres``), which must pass through the directory to its own, but cannot list it.
"""

import os
import stat
from pathlib import Path

from local.child_process import PROJECT
from local.stack_file import DEFAULT_HOME, LOCK
from local.tokens import key_file

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PASS_THROUGH = stat.S_IXGRP | stat.S_IXOTH


def create(home: Path) -> None:
    """Create the directory, unless it exists, and those above it, which are open as usual.

    Raises:
        OSError: it cannot be created.
    """
    for parent in reversed(home.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    home.mkdir(exist_ok=True)


def is_for_a_stack(home: Path) -> bool:
    """Return whether the directory is empty, or has a file of every stack of any release.

    The checkout's own directory may have npm packages before its first stack (``local.node``).
    """
    if home == (PROJECT / DEFAULT_HOME).resolve() or next(home.iterdir(), None) is None:
        return True
    return any(each.exists() for each in (home / LOCK, key_file(home), home / "postgres"))


def make_private(home: Path) -> None:
    """Take the access of others from the directory and from what is in it.

    Raises:
        OSError: it belongs to another user.
    """
    home.chmod(0o700 | (_PASS_THROUGH if os.geteuid() == 0 else 0))
    for each in home.iterdir():
        mode = stat.S_IMODE(each.lstat().st_mode)
        if mode & _OTHERS and not each.is_symlink():
            each.chmod(mode & ~_OTHERS)
