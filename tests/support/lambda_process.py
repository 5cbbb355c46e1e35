"""Run the functions of a zip as Lambda does: in a process that sees nothing else."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from local.child_process import PROJECT

# The libraries of Lambda's Python runtime that the code uses.
RUNTIME_LIBRARIES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")


class LambdaProcess:
    """A process that can import only the unpacked zip and the libraries of Lambda's runtime."""

    def __init__(
        self,
        task: Path,
        libraries: Path,
        python: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            task: the directory of the unpacked zip.
            libraries: an empty directory, for links to the libraries of Lambda's runtime.
            python: the interpreter, of the version that the zip is made for.
            environment: all of its variables; by default those of this process.
        """
        for name in RUNTIME_LIBRARIES:
            (libraries / name).symlink_to(Path(boto3.__file__).parents[1] / name)
        # -I ignores PYTHON* variables and the user's site directory; -S leaves out site-packages.
        program = PROJECT / "tests" / "support" / "lambda_runtime.py"
        self._process = subprocess.Popen(
            [python, "-I", "-S", program, task, libraries],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=task,
            env={
                name: value
                for name, value in (os.environ if environment is None else environment).items()
                if not name.startswith("PYTHON")
            },
        )

    def invoke(self, handler: str, event: dict[str, Any]) -> Any:
        """Pass an event to a handler, named as in the template, and return its result."""
        process = self._process
        assert process.stdin
        assert process.stdout
        call = {"handler": handler, "event": event, "ms": 60_000}
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            output = json.loads(line)
            if "returned" in output:
                assert output["foreign_modules"] == []
                return output["returned"]
        raise AssertionError("the process ended without a result")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
