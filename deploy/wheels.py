"""``python -m deploy.wheels DIRECTORY``: download the wheels of ``requirements.lock`` for Lambda.

``make`` calls it once, so that packaging needs no registry. Compiled wheels (cffi, cryptography,
pycurl) are taken for the version of ``RUNTIME``, for Lambda's Linux and for both processors that it
offers, on any system and with any interpreter. The wheels of the running interpreter's version
are downloaded too: the tests run the code of a zip, which works only with wheels of their own
version and processor.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.runtime import MACHINES, RUNNING, RUNNING_ARCHITECTURE, RUNTIME, version

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
# The same packages with the hashes of their files: what is downloaded must be what was reviewed.
LOCK = REQUIREMENTS.with_suffix(".lock")

# ``RUNTIME`` is Amazon Linux 2023, which has glibc 2.34 (as every Python runtime since 3.12):
# wheels for glibc 2.28 run there, and pycurl has no older ones. pip takes each tag literally.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def download(into: Path) -> None:
    """Download the wheels of ``RUNTIME`` and of the running interpreter into a directory.

    An architecture for which a requirement has no wheel fails here, and not in the account.

    Raises:
        CalledProcessError: pip failed; it has printed the reason.
    """
    # Some requirements are published as sources alone: build their wheels first. They are pure
    # Python, so that the wheels fit every version.
    _pip("wheel", "--use-pep517", "--require-hashes", "--wheel-dir", into, "-r", LOCK)
    compiled = into / "compiled.lock"
    compiled.write_text(_without_pure(LOCK.read_text(encoding="utf-8"), into), encoding="utf-8")
    checked = ("--require-hashes", "--no-deps", "--dest", into, "-r", compiled)
    deployed = {(RUNTIME, architecture) for architecture in MACHINES}
    for runtime, architecture in sorted({*deployed, (RUNNING, RUNNING_ARCHITECTURE)}):
        _pip("download", *_only(runtime, architecture), *checked)
    compiled.unlink()


def _without_pure(lock: str, wheels: Path) -> str:
    """Return the lock without the packages whose wheel in the directory fits every system."""
    pure = {_normalized(each.name.partition("-")[0]) for each in wheels.glob("*-none-any.whl")}
    return "".join(
        package
        for package in re.findall(r"^\S.*\n(?: .*\n)*", lock, re.MULTILINE)
        if _normalized(package.partition("==")[0]) not in pure
    )


def _normalized(name: str) -> str:
    """Return a distribution's name as comparable text (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def platforms(architecture: str) -> list[str]:
    """Return the platform tags of the wheels that Lambda's Linux can load on a processor."""
    return [f"{each}_{MACHINES[architecture]}" for each in _PLATFORMS]


def install(wheels: Path, runtime: str, architecture: str, into: Path) -> None:
    """Unpack the wheels that fit a runtime and a processor into a directory, without a registry.

    Raises:
        CalledProcessError: a wheel is missing; pip has printed which.
    """
    offline = ("--no-index", "--find-links", wheels)
    target = ("--no-compile", "--target", into)
    _pip("install", *_only(runtime, architecture), *offline, *target, "-r", REQUIREMENTS)
    # Console scripts start the interpreter of this machine.
    shutil.rmtree(into / "bin", ignore_errors=True)


def _only(runtime: str, architecture: str) -> tuple[str, ...]:
    """Return the options that restrict pip to wheels for a runtime and a processor."""
    return (
        *("--only-binary", ":all:"),
        *(option for each in platforms(architecture) for option in ("--platform", each)),
        *("--implementation", "cp", "--python-version", version(runtime)),
    )


def _pip(*arguments: str | Path) -> None:
    subprocess.run([*_PIP, *arguments], check=True)


def main() -> None:
    """Read the command line and download."""
    parser = argparse.ArgumentParser(prog="python -m deploy.wheels", description=__doc__)
    parser.add_argument("directory", type=Path, help="the directory to download into")
    download(parser.parse_args().directory)


if __name__ == "__main__":
    main()
