"""Pin the Python version and the processor of the deployed functions.

Chalice would derive the version from the interpreter that packages. ``RUNTIME`` decides instead, so
that a commit deploys the same functions from every machine.
"""

import platform
import shutil
import subprocess
import sys

# An identifier of https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
RUNTIME = "python3.13"
# The runtime of Lambda that corresponds to the interpreter of this process.
RUNNING = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Lambda's names of the processors, each with Linux's name, which wheels have in their tags.
# https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# A GB-second costs a fifth less on arm64: https://aws.amazon.com/lambda/pricing/
ARCHITECTURE = "arm64"
# The processor of this machine.
RUNNING_ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"

_PROBE_TIMEOUT_S = 10


def version(runtime: str) -> str:
    """Return the Python version of a runtime, such as "3.13"."""
    return runtime.removeprefix("python")


def interpreter(runtime: str) -> str | None:
    """Return the path of an interpreter of a runtime's version, or None if there is none on PATH.

    The version is checked by running the interpreter: pyenv puts a ``python3.13`` on PATH that
    fails while that version is not activated.
    """
    if runtime == RUNNING:
        return sys.executable
    path = shutil.which(runtime)
    if path is None:
        return None
    program = "import sys; print('python{}.{}'.format(*sys.version_info[:2]))"
    try:
        probe = subprocess.run(
            [path, "-I", "-c", program],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if probe.stdout.strip() == runtime else None
