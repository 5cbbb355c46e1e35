"""The app as CloudFormation takes it: a template and a zip of the code, by ``chalice package``.

Whatever its name, a stage is made from the stage ``prod`` of ``.chalice``, with its own name in
place of prod's; the stage ``dev`` of ``.chalice/config.json`` has the throwaway settings of
``make run`` and is never deployed. Only what is deployed is looked at: no leftover gets in.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# Wheels of requirements.txt, which ``make`` puts there: packaging needs no registry then.
WHEELS = Path(sys.prefix) / "wheels"

_MODEL = "prod"


class StageError(Exception):
    """A stage cannot have that name. The message is for people."""


def stage_source(stage: str, into: Path) -> None:
    """Copy what is deployed, and the stage's configuration, into a directory of its own.

    Raises:
        StageError: no stage can have that name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{1,15}", stage):
        raise StageError(f"A stage has a name of 2 to 16 letters and digits, not {stage!r}.")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(PROJECT / name, into / name)
    compiled = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(PROJECT / "chalicelib", into / "chalicelib", ignore=compiled)
    chalice = into / ".chalice"
    chalice.mkdir()
    for path in (PROJECT / ".chalice").glob("*.json"):
        text = _named(stage, path.read_text(encoding="utf-8"))
        if path.name == "config.json":
            config = json.loads(text)
            config["stages"] = {stage: config["stages"][_MODEL]}
            text = json.dumps(config, indent=2)
        (chalice / _named(stage, path.name)).write_text(text, encoding="utf-8")


def package(stage: str, build: Path) -> Path:
    """Package a stage and return the template, which names the zip beside it.

    Raises:
        StageError: no stage can have that name.
        CalledProcessError: chalice could not package it; it has said why.
    """
    source, out = build / "source", build / stage
    stage_source(stage, source)
    shutil.rmtree(out, ignore_errors=True)
    chalice = Path(sys.executable).parent / "chalice"
    merged = ["--merge-template", ".chalice/resources.json"]
    subprocess.run(
        [chalice, "package", "--stage", stage, *merged, out.resolve()],
        cwd=source,
        env=environment(),
        check=True,
    )
    _compile(out / "deployment.zip")
    return out / "sam.json"


def environment() -> dict[str, str]:
    """Return the environment in which chalice packages: alike wherever it does."""
    # Importing the app must not leave compiled files in what is packaged. The region only tells
    # chalice the partition.
    found = {"AWS_DEFAULT_REGION": "eu-central-1", **os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if WHEELS.is_dir():
        found |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
    return found


def _compile(archive: Path) -> None:
    """Add compiled files to a zip: Lambda could keep none, and would compile at every cold start.

    They are taken without a look at the sources beside them (PEP 552): what is deployed never
    changes. The same code makes the same zip, byte by byte.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(root)
        # A process of its own, whose sets have one order: the same code, the same bytes.
        command = [
            sys.executable,
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
        ]
        subprocess.run(
            [*command, "-s", root, "-p", "/var/task", root],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
        )
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(each for each in root.rglob("*") if each.is_file()):
                entry = zipfile.ZipInfo(str(path.relative_to(root)))  # of 1980, whenever it is
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _named(stage: str, text: str) -> str:
    """Give whatever bears prod's name the stage's instead."""
    return re.sub(rf"(?<=punch-clock[-/]){_MODEL}|(?<=policy-){_MODEL}", stage, text)
