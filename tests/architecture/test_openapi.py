"""The OpenAPI document is valid, complete, and the same in docs/ and from the service."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from openapi_spec_validator import validate

import app
from chalicelib import errors
from chalicelib.errors import PunchClockError
from chalicelib.openapi.document import document
from chalicelib.openapi.schemas import error_codes
from chalicelib.operations import operator_requests
from chalicelib.settings import Settings
from local.child_process import PROJECT
from tests.support.service import UNREACHABLE, Http, wired

DOCUMENT = document(Settings())
# Routes that are not in the document: OData's, and those of the document and of pages themselves.
OTHER = ("/odata", "/openapi.json", "/console")


def test_document_is_valid() -> None:
    validate(DOCUMENT)


def test_document_in_docs_is_that_of_the_default_settings() -> None:
    text = json.dumps(DOCUMENT, indent=2, ensure_ascii=False) + "\n"
    path = PROJECT / "docs/openapi.json"
    if path.read_text("utf-8") != text:  # on failure, commit the file that this writes
        path.write_text(text, "utf-8")
        pytest.fail("docs/openapi.json was outdated.")


def test_service_publishes_the_document_of_its_settings_without_a_token(tmp_path: Path) -> None:
    with wired(UNREACHABLE | {"MAX_BATCH": "7"}):
        response = Http(tmp_path).get("/openapi.json", headers={"Authorization": ""})
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        assert response.json_body == document(replace(Settings(), max_batch=7))
        invalid = Http(tmp_path).get("/openapi.json", headers={"Authorization": "Bearer x.y.z"})
        assert invalid.status_code == 401


def test_document_has_every_route_and_method() -> None:
    described = {
        (path.replace("{id}", "{record_id}"), method.upper())
        for path, item in DOCUMENT["paths"].items()
        for method in item
    }
    routes = {
        (route, method)
        for route, methods in app.app.routes.items()
        for method in methods
        if not route.startswith(OTHER) and method != "OPTIONS"
    }
    named = {("/operations/{name}", "POST")}
    commands = {(f"/operations/{name}", "POST") for name in operator_requests._OPERATIONS}
    assert described == routes - named | commands
    assert named <= routes


def test_members_of_commands_are_those_of_the_code() -> None:
    for name, operation in operator_requests._OPERATIONS.items():
        body = DOCUMENT["paths"][f"/operations/{name}"]["post"]["requestBody"]
        schema = body["content"]["application/json"]["schema"]
        members = {*operation.members, *operation.redacted, "comment"}
        assert set(schema["properties"]) == members
        assert ("comment" in schema["required"]) == operation.needs_comment({})
        dependent = schema.get("dependentRequired", {})
        for member in members - {"comment"}:
            needed = {*schema["required"], *dependent.get(member, ())}
            needed |= {each for one in needed for each in dependent.get(one, ())}
            assert ("comment" in needed) == operation.needs_comment({member: 1}), member


def test_document_names_every_code() -> None:
    codes = {
        each.code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, PunchClockError)
    }
    assert codes <= set(error_codes())
    assert all(code in DOCUMENT["info"]["description"] for code in codes)
