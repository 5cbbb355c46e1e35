"""What is deployed does not depend on the Python of the machine that packages."""

import sys
from pathlib import Path

import pytest

from deploy import __main__ as command
from deploy import runtime
from deploy.runtime import RUNTIME, interpreter


@pytest.fixture
def other_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that is the whole PATH; the tests' own interpreter has another version."""
    monkeypatch.setattr(runtime, "RUNNING", "python3.9")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_interpreter_of_the_runtime_is_found_by_its_answer(other_python: Path) -> None:
    assert interpreter(RUNTIME) is None
    script(other_python / RUNTIME, f"echo {RUNTIME}")
    assert interpreter(RUNTIME) == str(other_python / RUNTIME)
    script(other_python / RUNTIME, "echo python3.9")
    assert interpreter(RUNTIME) is None
    script(other_python / RUNTIME, "exit 127")
    assert interpreter(RUNTIME) is None


def test_packaging_warns_without_the_pinned_python(
    other_python: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template = other_python / "sam.json"
    template.with_name("deployment.zip").write_bytes(b"")
    monkeypatch.setattr(command, "package", lambda *_, **__: template)
    monkeypatch.setattr(sys, "argv", ["deploy", "package", "prod"])
    assert command.main() == 0
    assert f"Put {RUNTIME} on PATH" in capsys.readouterr().err
