"""docs/phones.md names each code of ``POST /point-record``, and what a queue does about it."""

import ast
import importlib
import json
import re
from pathlib import Path

from chalicelib import errors
from chalicelib.errors import PunchClockError
from tests.architecture.test_cold_start import INTAKE

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = (PROJECT / "docs/phones.md").read_text(encoding="utf-8")
QUEUE = (PROJECT / "clients/javascript/punch_queue.js").read_text(encoding="utf-8")
# Errors of modules that intake loads, which no answer to ``POST /point-record`` has.
NOT_OF_THIS_ROUTE = {
    "PunchClockError": "the base of all errors",
    "NotImplementedByServiceError": "a change set with too many records, which only OData has",
}


def documented(heading: str) -> dict[str, tuple[str, str]]:
    """Return the rows of a section's table: code, then status and action."""
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| [^|]+ \| ([^|]+) \|$", section, re.MULTILINE)
    assert rows
    return {code: (statuses, action.strip()) for code, statuses, action in rows}


def errors_of_intake() -> set[type[PunchClockError]]:
    """Return the error classes that the modules of intake name, and so may raise."""
    paths = [PROJECT / "app.py"]
    paths += [
        Path(str(importlib.import_module(name).__file__))
        for name in INTAKE - {"chalicelib.errors", "chalicelib.error_response"}
    ]
    names = {
        node.id
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return {
        found
        for name in names - NOT_OF_THIS_ROUTE.keys()
        if isinstance(found := getattr(errors, name, None), type)
        and issubclass(found, PunchClockError)
    }


def codes_of_gateway() -> dict[str, str]:
    """Return the code and the status of each answer that API Gateway gives in place of intake."""
    resources = json.loads((PROJECT / ".chalice/resources.json").read_text(encoding="utf-8"))
    api = resources["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    answers = api["x-amazon-apigateway-gateway-responses"]
    return {
        re.findall(r'"code": "(\w+)"', answer["responseTemplates"]["application/json"])[0]: str(
            answer["statusCode"]
        )
        for name, answer in answers.items()
        if name != "DEFAULT_4XX"  # its code is API Gateway's own, and unknown here
    }


def test_table_has_each_code_and_status_that_intake_and_the_gateway_can_answer() -> None:
    possible = {each.code: str(each.http_status) for each in errors_of_intake()}
    assert {"Malformed", "InTheFuture", "Unavailable", "InternalError"} <= possible.keys()
    table = {code: status for code, (status, _) in documented("What a code means").items()}
    assert table == possible | codes_of_gateway()


def test_actions_are_those_of_the_reference_queue() -> None:
    def codes(name: str) -> set[str]:
        listed = re.findall(rf"export const {name} = new Set\(\[(.*?)\]\)", QUEUE)[0]
        return set(re.findall(r"'(\w+)'", listed))

    actions: dict[str, set[str]] = {}
    for code, (_, action) in documented("What a code means").items():
        actions.setdefault(action, set()).add(code)
    assert actions.keys() == {"keep, retry later", "keep, get a token", "refuse"}
    assert actions["refuse"] == codes("REFUSED")
    assert actions["keep, get a token"] == codes("NEEDS_TOKEN")


def test_limits_are_those_of_the_settings() -> None:
    from chalicelib.settings import Settings  # noqa: PLC0415

    defaults = Settings.__dataclass_fields__
    assert "const MAX_BATCH = 100\n" in QUEUE
    assert defaults["max_batch"].default == 100
    assert "const MAX_BYTES = 65_536\n" in QUEUE
    assert defaults["max_body_bytes"].default == 65_536
