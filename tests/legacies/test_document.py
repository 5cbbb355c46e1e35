"""The tables of docs/legacies.md agree with the code."""

import re
from dataclasses import fields

import pytest

from chalicelib.integrator.legacy.messages.record_values import to_json, values_of
from chalicelib.integrator.legacy.messages.request_template import BodyTemplate
from chalicelib.settings import Settings
from tests.legacies.recipes import DOCUMENT

TEXT = DOCUMENT.read_text(encoding="utf-8")
# The rows of the table of expressions: the templates, and what they give.
EXPRESSIONS = re.findall(r"^\| [^|]+ \| (`\{[{%].+[%}]\}`) \| (.+) \|$", TEXT, re.MULTILINE)
RECORD = {
    "id": "01a202e9-b380-818a-a002-db19698c6a72",
    "employeeId": 2023,
    "employerId": 121,
    "includedAt": "2026-11-22T11:00:00.000000Z",
    "utcOffsetMinutes": -180,
    "localDate": "2026-11-22",
    "localTime": "08:00:00",
    "deviceId": "gate 3",
    "longitude": 0.00001,
}


@pytest.mark.parametrize(("templates", "results"), EXPRESSIONS)
def test_expression_of_the_document_gives_what_it_says(templates: str, results: str) -> None:
    rendered = [
        BodyTemplate(each.replace("\\|", "|"), "text/plain").render(values_of(to_json(RECORD)))
        for each in re.findall("`([^`]+)`", templates)
    ]
    assert [each.decode() for each in rendered] == re.findall("`([^`]*)`", results)


def test_document_has_expressions() -> None:
    assert len(EXPRESSIONS) == 8


def test_settings_of_the_document_exist() -> None:
    known = {each.name.upper() for each in fields(Settings)}
    named = set(re.findall(r"\b(?:LEGACY|RECORD|MAX)_[A-Z_]+[A-Z]\b", TEXT))
    assert len(named) > 25
    assert named - known == set()
