"""Documents that must agree with the code, and places where things must stand."""

import ast
import re
import subprocess
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chalicelib.intake import as_awaiting
from chalicelib.odata import model
from chalicelib.point_record import Status, parse
from chalicelib.postgres.migrate import MIGRATIONS, read_migrations
from chalicelib.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
CODE = [PROJECT / "app.py", *sorted((PROJECT / "chalicelib").rglob("*.py"))]
TOOLS = [
    path for top in ("local", "bench", "deploy", "tests") for path in (PROJECT / top).rglob("*.py")
]


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def settings_table() -> str:
    """Write the settings as a table, one row for each."""
    rows = ["| variable | default | range | effect |", "| --- | --- | --- | --- |"]
    for each in fields(Settings):
        default = "" if each.default == "" else f"`{each.default}`"
        low, high = each.metadata["low"], each.metadata["high"]
        bounds = "" if low is None else f"{low} … {high}"
        effect = each.metadata["effect"]
        if each.metadata["by_reference"]:
            effect += " May be a reference."
        rows.append(f"| `{each.name.upper()}` | {default} | {bounds} | {effect} |")
    return "\n".join(rows) + "\n"


def test_every_setting_is_documented_as_it_is() -> None:
    document = (PROJECT / "docs/settings.md").read_text(encoding="utf-8")
    table = settings_table()
    print(table)  # when they differ, this is what the document has to say
    assert document[document.index("| variable |") :] == table


def documents() -> list[Path]:
    return [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_whatever_a_document_links_to_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_whatever_path_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for named in re.findall(r"`((?:chalicelib|local|tests|bench|docs|\.ci)/[\w./-]+)`", text):
        assert (PROJECT / named).exists(), named


def test_the_architecture_has_a_place_for_each_module_and_folder() -> None:
    text = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    tree = text.partition("## Where things are")[2].split("```")[1]
    root = PROJECT / "chalicelib"
    there = {each.name for each in root.glob("[!_]*.py")}
    there |= {f"{each.parent.name}/" for each in root.glob("*/__init__.py")}
    assert set(re.findall(r"[a-z_]+(?:\.py|/)(?=\s)", tree)) >= there


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_whatever_test_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {name}(" in (PROJECT / path).read_text(encoding="utf-8"), name


def test_whatever_make_target_the_readme_names_is_there() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", readme)) <= set(targets)


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_every_deployed_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name == "__init__.py":
        assert tree.body == []
    else:
        assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_only_the_settings_and_the_container_know_the_environment(path: Path) -> None:
    known = "os.environ" in path.read_text(encoding="utf-8")
    assert not known or path.name in ("settings.py", "container.py")


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
    found = [
        relative(path) for path in [*CODE, *TOOLS] if later.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_file_of_tests_is_collected() -> None:
    """Under any other name, pytest would pass it by without a word."""
    for path in sorted((PROJECT / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        has_tests = any(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            for node in ast.walk(tree)
        )
        assert has_tests == path.name.startswith("test_"), relative(path)


def test_migrations_are_numbered_without_a_gap() -> None:
    versions = [migration.version for migration in read_migrations(MIGRATIONS)]
    assert versions == list(range(1, len(versions) + 1))
    assert len(list(MIGRATIONS.iterdir())) == len(versions)


def test_the_database_knows_the_same_statuses_as_the_code() -> None:
    schema = "".join(migration.sql for migration in read_migrations(MIGRATIONS))
    (known,) = re.findall(r"CHECK \(status IN \(([^)]+)\)\)", schema)
    assert set(re.findall(r"'(\w+)'", known)) == set(Status)


# The contract with those who query.
PROPERTIES = {
    "PointRecord": {
        *("id", "employeeId", "employerId", "includedAt", "utcOffsetMinutes", "deviceId"),
        *("latitude", "longitude", "accuracyMeters", "status", "attempts", "nextAttemptAt"),
        *("integratedAt", "createdAt", "replicatedAt", "updatedAt"),
    },
    "IntegrationLog": {
        *("id", "pointId", "attempt", "status", "log", "httpStatus", "latencyMs", "createdAt"),
    },
    "IntegrationRun": {
        *("id", "runId", "at", "maxOpenRequests", "openRequests", "delivered", "failed"),
        *("rejected", "latencyP50Ms", "latencyP95Ms", "policy"),
    },
}


def test_the_model_has_the_properties_of_the_contract() -> None:
    shown = {
        kind.name: {each.name for each in kind.properties}
        for kind in vars(model).values()
        if isinstance(kind, model.EntityType)
    }
    assert shown == PROPERTIES


def test_a_record_that_is_not_replicated_yet_has_the_same_properties() -> None:
    punch = {"employeeId": 7, "employerId": 121, "includedAt": "2026-11-22T08:00:00Z"}
    record = parse(punch, datetime(2026, 11, 22, 9, tzinfo=UTC), clock_skew_s=0)
    assert as_awaiting(record).keys() == PROPERTIES["PointRecord"]


def test_what_is_generated_is_not_kept() -> None:
    kept = subprocess.run(
        ["git", "ls-files", ".local", ".venv", "*.pyc"], cwd=PROJECT, capture_output=True, text=True
    )
    assert kept.stdout == ""
