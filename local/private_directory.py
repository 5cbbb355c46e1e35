"""Keep the directory of a stack from other users of the machine.

Invariant: nobody but the owner can read what is in it. If we are root, PostgreSQL runs as another
account (``local.postgres``), which must pass through the directory to its own, but cannot list it.
"""

import os
import stat
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PASS_THROUGH = stat.S_IXGRP | stat.S_IXOTH


def make_private(home: Path) -> None:
    """Create the directory, or take the access of others from it and from what is in it.

    Directories above it that do not exist are created as usual.

    Raises:
        OSError: it cannot be created, or belongs to another user.
    """
    for parent in reversed(home.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    home.mkdir(exist_ok=True)
    home.chmod(0o700 | (_PASS_THROUGH if os.geteuid() == 0 else 0))
    for each in home.iterdir():
        mode = stat.S_IMODE(each.lstat().st_mode)
        if mode & _OTHERS and not each.is_symlink():
            each.chmod(mode & ~_OTHERS)
