"""Check that documents agree with the code, and that files are where the layout says."""

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
PACKAGES = [path for path in CODE if path.name == "__init__.py"]
MODULES = [path for path in CODE if path.name != "__init__.py"]
TOOLS = [
    path for top in ("local", "bench", "deploy", "tests") for path in (PROJECT / top).rglob("*.py")
]


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def settings_table() -> str:
    """Return the settings as a Markdown table with one row per setting."""
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


def test_settings_table_matches_the_settings() -> None:
    document = (PROJECT / "docs/settings.md").read_text(encoding="utf-8")
    table = settings_table()
    print(table)  # on failure, copy this table into the document
    assert document[document.index("| variable |") :] == table


def matches_in_documents(pattern: str) -> list[tuple[Path, tuple[str, ...]]]:
    """Return each match of a pattern in a document: the document, and the groups of the match."""
    documents = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    matches = [
        (document, match.groups())
        for document in documents
        for match in re.finditer(pattern, document.read_text(encoding="utf-8"))
    ]
    assert matches
    return matches


def test_relative_links_of_documents_resolve() -> None:
    links = matches_in_documents(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
    broken = [
        f"{relative(document)}: {target}"
        for document, (target,) in links
        if not (document.parent / target).exists()
    ]
    assert broken == []


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(
        r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_anchors_of_links_resolve() -> None:
    links = matches_in_documents(r"\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)")
    broken = [
        f"{relative(document)}: {target}#{anchor}"
        for document, (target, anchor) in links
        if anchor not in anchors(document.parent / target if target else document)
    ]
    assert broken == []


def test_paths_named_in_documents_exist() -> None:
    paths = matches_in_documents(r"`((?:chalicelib|clients|local|tests|bench|docs|\.ci)/[\w./-]+)`")
    missing = [
        f"{relative(document)}: {path}"
        for document, (path,) in paths
        if not (PROJECT / path).exists()
    ]
    assert missing == []


def test_tests_named_in_documents_exist() -> None:
    tests = matches_in_documents(r"`(tests/[\w/]+\.py)::(\w+)`")
    missing = [
        f"{relative(document)}: {path}::{name}"
        for document, (path, name) in tests
        if f"def {name}(" not in (PROJECT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_lines_of_documents_fit_120_characters_outside_tables() -> None:
    documents = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    long = [
        f"{relative(document)}:{number}"
        for document in documents
        for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1)
        # A URL cannot be broken.
        if len(line) > 120 and not line.lstrip().startswith("|") and "](http" not in line
    ]
    assert long == []


DECISIONS = sorted((PROJECT / "docs/decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.stem)
def test_decision_record_has_all_parts(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert re.match(rf"# {int(record.name[:4])}\. ", text)
    assert re.search(r"^- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert re.search(r"^- Status: (accepted|superseded by .+)$", text, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:4] == ["Context", "Decision", "Alternatives rejected", "Consequences"]


def test_index_of_decisions_has_each_record_with_its_number_and_title() -> None:
    index = PROJECT / "docs/decisions/README.md"
    rows = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((.+)\) \| .+ \|$", index.read_text(encoding="utf-8"), re.MULTILINE
    )
    headings = [each.read_text(encoding="utf-8").partition("\n")[0] for each in DECISIONS]
    assert [f"# {number}. {title}" for number, title, _ in rows] == headings
    assert [file for _, _, file in rows] == [each.name for each in DECISIONS]


def test_architecture_tree_has_each_module_and_package() -> None:
    text = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    tree = text.partition("## Where things are")[2].split("```")[1]
    root = PROJECT / "chalicelib"
    existing = {each.name for each in root.glob("[!_]*.py")}
    existing |= {f"{each.parent.name}/" for each in root.glob("*/__init__.py")}
    assert set(re.findall(r"[a-z_]+(?:\.py|/)(?=\s)", tree)) >= existing


def test_make_targets_named_in_the_readme_exist() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z-]+)", readme))
    assert named
    assert named <= set(targets)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_deployed_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_two_deployed_modules_or_packages_have_one_name() -> None:
    root = PROJECT / "chalicelib"
    names = [each.stem for each in root.rglob("[!_]*.py")]
    names += [each.parent.name for each in root.rglob("__init__.py")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", PACKAGES, ids=relative)
def test_package_docstring_names_each_module(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    modules = {each.stem for each in path.parent.glob("[!_]*.py")}
    subpackages = {each.parent.name for each in path.parent.glob("*/__init__.py")}
    named = set(re.findall(r"``([a-z_]+)(?:\.py)?``", docstring))
    assert (modules | subpackages) - named == set()


@pytest.mark.parametrize("path", PACKAGES, ids=relative)
def test_package_init_has_nothing_but_a_docstring(path: Path) -> None:
    """The limiter alone may re-export names: outside programs import its policies by path."""
    body = ast.parse(path.read_text(encoding="utf-8")).body[1:]
    if path.parent.name == "limiter":
        body = [each for each in body if not is_reexport(each)]
    assert [ast.unparse(each) for each in body] == []


def is_reexport(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) or (
        isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    )


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_only_settings_and_container_use_os_environ(path: Path) -> None:
    uses_it = "os.environ" in path.read_text(encoding="utf-8")
    assert not uses_it or path.name in ("settings.py", "container.py")


def test_code_has_no_todo_comments() -> None:
    later = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
    unfinished = [
        relative(path) for path in [*CODE, *TOOLS] if later.search(path.read_text(encoding="utf-8"))
    ]
    assert unfinished == []


def test_files_with_tests_are_the_ones_that_pytest_collects() -> None:
    """Pytest silently ignores tests in a file whose name does not start with ``test_``."""
    for path in sorted((PROJECT / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        has_tests = any(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            for node in ast.walk(tree)
        )
        assert has_tests == path.name.startswith("test_"), relative(path)


def test_migrations_are_numbered_without_a_gap() -> None:
    versions = [migration.version for migration in read_migrations(MIGRATIONS)]
    assert versions == list(range(1, len(list(MIGRATIONS.iterdir())) + 1))


def test_status_constraint_has_the_statuses_of_the_code() -> None:
    schema = "".join(migration.sql for migration in read_migrations(MIGRATIONS))
    *_, allowed = re.findall(r"CHECK \(status IN \(([^)]+)\)\)", schema)
    assert set(re.findall(r"'(\w+)'", allowed)) == set(Status)


# The contract with OData clients.
PROPERTIES = {
    "PointRecord": {
        *("id", "employeeId", "employerId", "includedAt", "utcOffsetMinutes", "deviceId"),
        *("localDate", "localTime"),
        *("latitude", "longitude", "accuracyMeters", "status", "attempts", "nextAttemptAt"),
        *("integratedAt", "createdAt", "replicatedAt", "updatedAt", "postedBy", "postedAs"),
    },
    "IntegrationLog": {
        *("pointId", "number", "attempt", "status", "log", "httpStatus", "latencyMs", "createdAt"),
    },
    "IntegrationRun": {
        *("id", "runId", "at", "maxOpenRequests", "openRequests", "delivered", "failed"),
        *("rejected", "latencyP50Ms", "latencyP95Ms", "policy"),
    },
}


def test_odata_model_has_the_properties_of_the_contract() -> None:
    properties = {
        kind.name: {each.name for each in kind.properties}
        for kind in vars(model).values()
        if isinstance(kind, model.EntityType)
    }
    assert properties == PROPERTIES


def test_a_record_in_the_buffer_has_the_same_properties() -> None:
    punch = {"employeeId": 7, "employerId": 121, "includedAt": "2026-11-22T08:00:00Z"}
    record = parse(punch, datetime(2026, 11, 22, 9, tzinfo=UTC), clock_skew_s=0)
    assert as_awaiting(record).keys() == PROPERTIES["PointRecord"]


def test_generated_files_are_not_in_git() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", ".local", ".venv", "*.pyc"], cwd=PROJECT, capture_output=True, text=True
    )
    if tracked.returncode:
        pytest.skip("this is not a git repository")
    assert tracked.stdout == ""
